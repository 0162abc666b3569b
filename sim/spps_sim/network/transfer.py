"""The two ends of a test transfer over kernel sockets; runs inside a namespace as a process of its own.

    python -m spps_sim.network.transfer server PORT CONNECTIONS BYTES SEED
    python -m spps_sim.network.transfer client ADDRESS PORT CONNECTIONS BYTES SEED

Each connection carries BYTES pseudo-random bytes each way at once, then FINs. Progress and results go to
standard output as JSON lines: {"progress": bytes} and, per connection, sent and received hashes and the longest stall.
"""
import asyncio
import hashlib
import json
import random
import sys
import time

__all__ = ["stream_bytes", "main"]


def stream_bytes(seed, connection, direction, size):
    """The bytes of one direction ("up" or "down") of one connection."""
    return random.Random(f"{seed}/{connection}/{direction}").randbytes(size)


class _Meter:
    def __init__(self):
        self.total = 0

    def add(self, count):
        self.total += count


async def _transfer(reader, writer, outgoing, meter):
    """Send `outgoing`, then FIN; read to the peer's FIN. Returns (received digest, bytes, longest stall in s)."""
    digest, received, longest = hashlib.sha256(), 0, 0.0

    async def send():
        for at in range(0, len(outgoing), 16384):
            writer.write(outgoing[at:at + 16384])
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    sending = asyncio.ensure_future(send())
    last = time.monotonic()
    while True:
        chunk = await reader.read(65536)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if not chunk:
            break
        digest.update(chunk)
        received += len(chunk)
        meter.add(len(chunk))
    await sending
    writer.close()
    await writer.wait_closed()      # what is still in this process's buffer would die with it
    return digest.hexdigest(), received, longest


async def _report(meter):
    while True:
        await asyncio.sleep(0.1)
        print(json.dumps({"progress": meter.total}), flush=True)


async def _one(reader, writer, index, role, size, seed, meter):
    mine, theirs = ("up", "down") if role == "client" else ("down", "up")
    outgoing = stream_bytes(seed, index, mine, size)
    result = {"role": role, "connection": index, "sent_sha256": hashlib.sha256(outgoing).hexdigest(),
              "expected_sha256": hashlib.sha256(stream_bytes(seed, index, theirs, size)).hexdigest()}
    try:
        digest, received, stall = await _transfer(reader, writer, outgoing, meter)
        result |= {"received_sha256": digest, "received": received, "stall": stall}
        result["ok"] = result["received_sha256"] == result["expected_sha256"] and result["received"] == size
    except OSError as error:
        result.update(ok=False, error=str(error))
    print(json.dumps(result), flush=True)


async def _server(port, connections, size, seed):
    meter, left, done = _Meter(), connections, asyncio.Event()

    async def serve(reader, writer):
        nonlocal left
        index = int.from_bytes(await reader.readexactly(4), "big")
        await _one(reader, writer, index, "server", size, seed, meter)
        left -= 1
        if not left:
            done.set()

    server = await asyncio.start_server(serve, "0.0.0.0", port)
    print(json.dumps({"ready": True}), flush=True)
    task = asyncio.ensure_future(_report(meter))
    await done.wait()
    task.cancel()
    server.close()


async def _client(address, port, connections, size, seed):
    meter = _Meter()
    task = asyncio.ensure_future(_report(meter))

    async def connect(index):
        try:
            reader, writer = await asyncio.open_connection(address, port)
        except OSError as error:
            print(json.dumps({"role": "client", "connection": index, "ok": False, "error": str(error)}), flush=True)
            return
        writer.write(index.to_bytes(4, "big"))
        await _one(reader, writer, index, "client", size, seed, meter)

    await asyncio.gather(*(connect(i) for i in range(connections)))
    task.cancel()


def main(arguments):
    """Run one end; the arguments are those of the command line."""
    role, *rest = arguments
    if role == "server":
        port, connections, size = map(int, rest[:3])
        asyncio.run(_server(port, connections, size, rest[3]))
    else:
        port, connections, size = map(int, rest[1:4])
        asyncio.run(_client(rest[0], port, connections, size, rest[4]))


if __name__ == "__main__":
    main(sys.argv[1:])
