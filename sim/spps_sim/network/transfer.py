"""The two ends of a test transfer over kernel sockets; runs inside a namespace as a process of its own.

    python -m spps_sim.network.transfer server PORT CONNECTIONS BYTES SEED [RATE SLOW]
    python -m spps_sim.network.transfer client ADDRESS PORT CONNECTIONS BYTES SEED [RATE SLOW]

Each connection carries BYTES pseudo-random bytes each way at once, then FINs. RATE: at most so many bytes per second
each way of a connection; SLOW says who holds to it, "sender" or "receiver". Progress and results go to standard output
as JSON lines: {"progress": bytes} and, per connection, hashes, the longest stall, and counts of bytes: `acked` of those
sent, `received`, and `matching`, the first of these that are as expected. SIGTERM ends what has not ended; those
results say "hung".
"""
import asyncio
import fcntl
import hashlib
import json
import random
import signal
import socket
import struct
import sys
import termios
import time
from contextlib import suppress

__all__ = ["stream_bytes", "main"]

CHUNK = 16384           # bytes handed to the kernel at a time
HUNG = "hung: neither end nor error"


def stream_bytes(seed, connection, direction, size):
    """The bytes of one direction ("up" or "down") of one connection."""
    return random.Random(f"{seed}/{connection}/{direction}").randbytes(size)


class _Pace:
    """Keeps a count of bytes at `rate` bytes per second or below it; no rate: no limit."""

    def __init__(self, rate):
        self.rate, self.chunk = rate, max(1, rate // 50) if rate else 1 << 16
        self._started, self._count = time.monotonic(), 0

    async def passed(self, count):
        self._count += count
        await asyncio.sleep(self.rate and max(0.0, self._started + self._count / self.rate - time.monotonic()))


class _Stream:
    """What one end of a connection sends and receives; lead: bytes before `outgoing` that are not counted."""

    def __init__(self, sock, outgoing, expected, meter, rate=0, slow="", lead=b""):
        self.sock, self._data, self._expected, self._meter = sock, memoryview(lead + outgoing), expected, meter
        self._lead = len(lead)
        self._paces = [_Pace(rate if slow == side else 0) for side in ("sender", "receiver")]
        self.pushed = self.received = self.matching = 0
        self.digest, self.stall, self.finished = hashlib.sha256(), 0.0, False
        self._last = time.monotonic()

    async def _writable(self):
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self.sock, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self.sock)

    async def send(self):
        """Send everything, then FIN."""
        pace = self._paces[0]
        while self.pushed < len(self._data):
            try:
                sent = self.sock.send(self._data[self.pushed:self.pushed + min(CHUNK, pace.chunk)])
            except BlockingIOError:
                await self._writable()
                continue
            self.pushed += sent
            await pace.passed(sent)
        self.sock.shutdown(socket.SHUT_WR)
        self.finished = True

    async def receive(self):
        """Take what arrives to the peer's FIN."""
        pace, loop = self._paces[1], asyncio.get_running_loop()
        while True:
            chunk = await loop.sock_recv(self.sock, pace.chunk)
            now = time.monotonic()
            self.stall, self._last = max(self.stall, now - self._last), now
            if not chunk:
                return
            self.take(chunk)
            await pace.passed(len(chunk))

    def take(self, chunk):
        """Count and compare bytes that have arrived."""
        if self.matching == self.received:
            expected = self._expected[self.received:self.received + len(chunk)]
            self.matching += (len(chunk) if chunk == expected
                              else next((n for n, (a, b) in enumerate(zip(chunk, expected)) if a != b), len(expected)))
        self.digest.update(chunk)
        self.received += len(chunk)
        self._meter.add(len(chunk))

    def drain(self):
        """Take what the kernel has received already."""
        with suppress(OSError):
            while chunk := self.sock.recv(1 << 16):
                self.take(chunk)

    @property
    def acked(self):
        """Bytes that have been handed to the kernel and acknowledged by the peer."""
        queued = struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]
        return max(0, self.pushed - max(0, queued - self.finished) - self._lead)    # the FIN has a number too


class _Meter:
    def __init__(self):
        self.total = 0

    def add(self, count):
        self.total += count


async def _report(meter):
    while True:
        await asyncio.sleep(0.1)
        print(json.dumps({"progress": meter.total}), flush=True)


async def _one(sock, index, role, size, seed, meter, limits):
    mine, theirs = ("up", "down") if role == "client" else ("down", "up")
    outgoing, expected = (stream_bytes(seed, index, way, size) for way in (mine, theirs))
    result = {"role": role, "connection": index, "sent_sha256": hashlib.sha256(outgoing).hexdigest(),
              "expected_sha256": hashlib.sha256(expected).hexdigest()}
    lead = index.to_bytes(4, "big") if role == "client" else b""
    stream, error = _Stream(sock, outgoing, expected, meter, *limits, lead=lead), None
    try:
        # after an error of the one, what has arrived is still there for the other
        ends = await asyncio.gather(stream.send(), stream.receive(), return_exceptions=True)
        error = next((end for end in ends if end is not None), None)
        if error is not None and not isinstance(error, OSError):
            raise error
    except asyncio.CancelledError:
        error = HUNG
        stream.drain()
    result |= {"received_sha256": stream.digest.hexdigest(), "received": stream.received, "stall": stream.stall,
               "matching": stream.matching, "acked": stream.acked}
    if error is None:
        result["ok"] = result["received_sha256"] == result["expected_sha256"] and result["received"] == size
    else:
        result.update(ok=False, error=str(error))
    sock.close()
    print(json.dumps(result), flush=True)


async def _together(tasks, meter):
    """Wait for all tasks; SIGTERM cancels them, which they take as the end."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in tasks])
    reporting = asyncio.ensure_future(_report(meter))
    await asyncio.wait(tasks)
    reporting.cancel()
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _server(port, connections, size, seed, limits):
    meter, loop = _Meter(), asyncio.get_running_loop()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", port))
        listening.listen(1024)
        listening.setblocking(False)
        print(json.dumps({"ready": True}), flush=True)
        accepted = asyncio.Queue()

        async def accept():
            while True:
                accepted.put_nowait((await loop.sock_accept(listening))[0])

        async def serve():
            """One connection that says its number; what ends before that is none."""
            number = b""
            while len(number) < 4:
                sock, number = await accepted.get(), b""
                with suppress(OSError):
                    while len(number) < 4 and (more := await loop.sock_recv(sock, 4 - len(number))):
                        number += more
            await _one(sock, int.from_bytes(number, "big"), "server", size, seed, meter, limits)

        accepting = asyncio.ensure_future(accept())
        await _together([asyncio.ensure_future(serve()) for _ in range(connections)], meter)
        accepting.cancel()


async def _client(address, port, connections, size, seed, limits):
    meter, loop = _Meter(), asyncio.get_running_loop()

    async def connect(index):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (address, port))
        except OSError as error:
            print(json.dumps({"role": "client", "connection": index, "ok": False, "error": str(error)}), flush=True)
            return
        await _one(sock, index, "client", size, seed, meter, limits)

    await _together([asyncio.ensure_future(connect(i)) for i in range(connections)], meter)


def main(arguments):
    """Run one end; the arguments are those of the command line."""
    role, *rest = arguments
    lead = rest[:0] if role == "server" else rest[:1]
    port, connections, size, seed, *limits = rest[len(lead):]
    limits = (int(limits[0]), limits[1]) if limits else (0, "")
    common = int(port), int(connections), int(size), seed, limits
    asyncio.run(_server(*common) if role == "server" else _client(lead[0], *common))


if __name__ == "__main__":
    main(sys.argv[1:])
