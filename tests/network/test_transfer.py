"""The ends of a transfer, on loopback: what they count when all goes well, after a reset, when a connection hangs."""
import fcntl
import json
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest

from spps_sim.network.transfer import stream_bytes

SIZE, SEED = 300_000, "3"


def transfer(*arguments):
    return subprocess.Popen([sys.executable, "-m", "spps_sim.network.transfer", *map(str, arguments)],
                            stdout=subprocess.PIPE, text=True)


def results(process):
    """The lines of a process that are about a connection, when it has ended."""
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return [line for line in map(json.loads, said.splitlines()) if "role" in line]


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def peer():
    """A listening socket that plays the server by hand."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(20)
        yield listening


def accept(peer):
    connection, _ = peer.accept()
    connection.settimeout(20)
    return connection


@pytest.mark.parametrize("limits", [(), (600_000, "receiver"), (600_000, "sender")], ids=str)
def test_both_ends_have_every_byte(port, limits):
    server = transfer("server", port, 3, SIZE, SEED, *limits)
    assert json.loads(server.stdout.readline()) == {"ready": True}
    ends = results(transfer("client", "127.0.0.1", port, 3, SIZE, SEED, *limits)) + results(server)
    assert sorted((end["role"], end["connection"]) for end in ends) == [
        (role, n) for role in ("client", "server") for n in range(3)]
    for end in ends:
        assert end["ok"] and end["received"] == end["matching"] == SIZE and 0 < end["acked"] <= SIZE
        assert end["received_sha256"] == end["expected_sha256"] and "error" not in end


def test_a_reset_leaves_what_was_received_and_acknowledged(peer):
    """What had arrived before the RST is counted, however slowly it is read; what was not acknowledged is not."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client = transfer("client", *peer.getsockname(), 1, SIZE, SEED, 50_000, "receiver")
    with accept(peer) as connection:
        connection.sendall(stream_bytes(SEED, 0, "down", SIZE)[:30_000])
        read = b""
        while len(read) < 10_004:
            read += connection.recv(10_004 - len(read))
        time.sleep(0.5)         # until the peer's window is closed and nothing moves
        acked = 10_000 + struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (end,) = results(client)
    assert not end["ok"] and "reset" in end["error"].lower()
    assert end["received"] == end["matching"] == 30_000 and end["acked"] == acked < SIZE // 2
    assert read == (0).to_bytes(4, "big") + stream_bytes(SEED, 0, "up", SIZE)[:10_000]


def test_sigterm_says_what_hangs(peer):
    client = transfer("client", *peer.getsockname(), 1, SIZE, SEED)
    with accept(peer) as connection:
        connection.sendall(stream_bytes(SEED, 0, "down", SIZE)[:20_000])
        while json.loads(client.stdout.readline()).get("progress") != 20_000:
            pass
        client.terminate()
        (end,) = results(client)
    assert end["error"].startswith("hung") and end["received"] == end["matching"] == 20_000
    assert 0 < end["acked"] <= SIZE


def test_bytes_that_come_twice_do_not_match(peer):
    client = transfer("client", *peer.getsockname(), 1, SIZE, SEED)
    with accept(peer) as connection:
        connection.sendall(stream_bytes(SEED, 0, "down", SIZE)[:20_000])
        connection.sendall(stream_bytes(SEED, 0, "down", SIZE)[18_000:])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
    (end,) = results(client)
    assert not end["ok"] and "error" not in end
    assert end["received"] == SIZE + 2000 and 20_000 <= end["matching"] < 20_010


def test_a_connection_that_says_no_number_is_none(port):
    server = transfer("server", port, 1, SIZE, SEED)
    assert json.loads(server.stdout.readline()) == {"ready": True}
    for lead in (b"", b"\0\0"):
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(lead)
    (end,) = results(transfer("client", "127.0.0.1", port, 1, SIZE, SEED))
    assert end["ok"] and results(server)[0]["ok"]


def test_nobody_listens(port):
    (end,) = results(transfer("client", "127.0.0.1", port, 1, SIZE, SEED))
    assert not end["ok"] and "[Errno 111]" in end["error"]
