"""New connections, one after the other, that ask whether the service is there; runs inside a namespace.

    python -m spps_sim.compare.probe server PORT
    python -m spps_sim.compare.probe client ADDRESS PORT

The server sends back what it gets. The client opens a connection every 20 ms, whatever became of those before, and
prints for each that is answered {"asked": s, "served": s}: when it began and when the answer was there, on the
monotonic clock that all processes of the machine share.
"""
import asyncio
import json
import sys
import time
from contextlib import suppress

__all__ = ["INTERVAL_S", "main"]

INTERVAL_S, PATIENCE_S = 0.02, 1.0
QUESTION = b"served?\n"


async def _answer(reader, writer):
    with suppress(OSError, EOFError):
        writer.write(await reader.readexactly(len(QUESTION)))
        await writer.drain()
    writer.close()


async def _server(port):
    server = await asyncio.start_server(_answer, "0.0.0.0", port)
    print(json.dumps({"ready": True}), flush=True)
    await server.serve_forever()


async def _exchange(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(QUESTION)
        return await reader.readexactly(len(QUESTION)) == QUESTION
    finally:
        writer.close()


async def _ask(address, port):
    asked = time.monotonic()
    with suppress(OSError, EOFError, asyncio.TimeoutError):
        if await asyncio.wait_for(_exchange(address, port), PATIENCE_S):
            print(json.dumps({"asked": asked, "served": time.monotonic()}), flush=True)


async def _client(address, port):
    asking = set()
    while True:
        task = asyncio.ensure_future(_ask(address, port))
        asking.add(task)
        task.add_done_callback(asking.discard)
        await asyncio.sleep(INTERVAL_S)


def main(arguments):
    """Run one end for ever; the arguments are those of the command line."""
    role, *rest = arguments
    asyncio.run(_server(int(rest[0])) if role == "server" else _client(rest[0], int(rest[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
