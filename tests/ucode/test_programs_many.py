"""The program of a unit with more than 256 connections (MANY_CONNECTIONS): the port towards the server is the id."""
from spps.params import TINY
from spps.ucode.programs import FEW_CONNECTIONS, default_image
from spps_sim.checker.wire import SYN, parse_segment
from spps_sim.model.functional_pair import VIP_0, FunctionalPair

OPEN = 270          # connections at a time, more than the 8 bits of FEW_CONNECTIONS tell apart
POOLS = (1024, 0, 0, 0)     # pages: each direction of an idle connection keeps the one that its last byte is in


def opened():
    """(pair, connections of the client): OPEN of them, which have had an answer to a request of their own."""
    pair = FunctionalPair(connections=512, pool_pages=POOLS)

    def server(connection, what):
        if what == "data":
            connection.write(bytes(connection.received))
    pair.server.listen(80, server)
    running = []

    def client(connection, what):
        if what == "established":
            connection.write(f"request {connection.number}".encode())
    for number in range(OPEN):
        connection = pair.client.connect(VIP_0, 80, local_port=20_000 + number, on_event=client)
        connection.number = number
        running.append(connection)
        pair.run(until=lambda last=connection: last.state.name == "ESTABLISHED")
    pair.run(until=lambda: all(bytes(c.received) == f"request {c.number}".encode() for c in running))
    return pair, running


def server_ports(pair):
    """Ports of the SYNs towards the server, in order."""
    found = {}
    for frame in pair.capture:
        segment = parse_segment(frame.data) if frame.link == "server" and frame.unit is not None else None
        if segment is not None and segment.flags & SYN:
            found[segment.src[1]] = None
    return list(found)


def test_the_program_depends_on_the_number_of_connections():
    few, many = (default_image(connections=n) for n in (FEW_CONNECTIONS, 2 * FEW_CONNECTIONS))
    assert few.words == default_image().words and few.words != many.words
    assert many.words == default_image(("MANY_CONNECTIONS",)).words and TINY.connections < FEW_CONNECTIONS


def test_more_than_256_connections_have_ports_of_their_own():
    pair, running = opened()
    assert server_ports(pair) == [0x8000 | conn for conn in range(OPEN)], "the port is the id"
    unit = pair.units[0]
    assert len(unit.in_use) == OPEN and len(unit.keys) == 2 * OPEN


def test_more_than_256_connections_survive_a_takeover():
    pair, running = opened()
    pair.kill("lost")
    for connection in running:
        connection.write(b" and more")
    pair.run(until=lambda: all(c.received.endswith(b" and more") for c in running))
    assert all(len(c.received) >= len(f"request {c.number} and more") for c in running)
    assert pair.active is pair.units[1] and not any(c.was("reset") for c in running)
