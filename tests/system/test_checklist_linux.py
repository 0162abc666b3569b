"""The TCP checklist (hdl/spps/ucode/CHECKLIST.md) against Linux: its sockets at both ends, the pair in RTL between them.

Where Linux shows an item by itself, it does; where it takes a lost or doubled frame, the wire does that; where it takes an enemy, segments are
forged in Linux's name while its connection lives. What the wire says is compared with the item, the streams with what was sent, and at the end
the monitor must explain every frame of all these tests.
"""
import errno
import socket
import struct

import pytest
from linux_peers import CLIENT, PORT, SERVER, Peers, flags, pure_ack, rebuilt, with_data
from spps_sim.live import Addresses
from spps_sim.traffic.namespace import MissingPrivilege, require_privilege
from spps_sim.wire import ACK, FIN, RST, SYN, before, ones_sum, parse_segment

try:
    require_privilege()
    REASON = ""
except MissingPrivilege as reason:
    REASON = str(reason)
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"Linux peers need privilege: {REASON}; tests/ucode runs the list against the model")

LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
SMALL = (socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
URG = 32
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, SEND_QUEUE, MPTCP = 19, 20, 21, 2, 262


def plant_of(mode):
    """One plant for all tests of a mode."""
    @pytest.fixture(scope="module")
    def plant():
        with Peers(mode) as peers:
            yield peers
    return plant


def peers_of(plant):
    """The plant named so, for one test: with what the one before left behind closed."""
    @pytest.fixture
    def peers(request):
        shared = request.getfixturevalue(plant)
        shared.mark()
        yield shared
        shared.clear()
        shared.settle()
    return peers


proxy_plant, endpoint_plant = plant_of("proxy"), plant_of("endpoint")
proxy, endpoint = peers_of("proxy_plant"), peers_of("endpoint_plant")


def works(peers, client, server, size=3000):
    """The connection carries bytes both ways."""
    peers.streamed([(client, server, peers.bytes(size)), (server, client, peers.bytes(size))])


def arrived(peers, sink, data, each=lambda: None):
    """Read `data` and nothing else; each() in every turn."""
    got = bytearray()

    def step():
        each()
        got.extend(peers.pull(sink) or b"")
        return len(got) >= len(data)
    peers.until(step, f"{len(data)} bytes", 60)
    assert got == data


def pushing(peers, source, data):
    """A function that sends on as much of data as fits."""
    left = memoryview(data)

    def push():
        nonlocal left
        if left:
            left = left[peers.push(source, left):]
    return push


def refusal(peers, made, **to):
    with pytest.raises(OSError) as found:
        peers.dial(made, **to)
    return found.value.errno


def failure(peers, made):
    """The error that reading ends with."""
    def read():
        try:
            made.recv(1)
        except BlockingIOError:
            return None
        except OSError as error:
            return error.errno
    return peers.until(read, "an error")


# --- handshake and options ---------------------------------------------------------------------------------------------------------
def test_handshakes_on_both_legs(proxy):
    client, server = proxy.connected()
    for port, ours in ((CLIENT, True), (SERVER, False)):
        syn, = proxy.seen(port, not ours, lambda s: s.flags & (SYN | ACK) == SYN)
        answer, = proxy.seen(port, ours, flags(SYN, ACK))
        assert answer.ack == (syn.seq + 1) & 0xFFFFFFFF
    works(proxy, client, server)


@pytest.mark.parametrize("port, wanted", [(CLIENT, SYN | ACK), (SERVER, SYN)])
def test_a_lost_syn_or_syn_ack_is_sent_again_with_the_same_isn(proxy, port, wanted):
    lost = proxy.once(port, True, lambda s: s.flags == wanted)
    client, server = proxy.connected()
    sent = proxy.seen(port, True, lambda s: s.flags == wanted)
    assert lost and len(sent) >= 2 and len({s.seq for s in sent}) == 1
    if port == SERVER:                  # the client's own SYN, which comes again too, has no part in it
        first, second = (cycle for cycle, at, ours, s in proxy.segments if (at, ours) == (port, True) and s.flags == wanted)
        assert proxy.ticks(950) < second - first < proxy.ticks(1100)
    works(proxy, client, server)


def test_a_doubled_syn_gets_one_connection_and_one_isn(proxy):
    doubled = proxy.once(CLIENT, False, flags(SYN), lambda data: [(0, data), (3000, data), (9000, data)])
    client, server = proxy.connected()
    proxy.run(0.3)
    assert doubled and len({s.seq for s in proxy.seen(CLIENT, True, flags(SYN, ACK))}) == 1
    assert len(proxy.seen(SERVER, True, flags(SYN))) == 1
    works(proxy, client, server)


def test_wrong_ack_before_established_is_reset_with_its_own_number_and_linux_connects_all_the_same(proxy):
    def wrong(data):
        return [(0, rebuilt(data, ack=parse_segment(data).ack + 77)), (4000, data)]
    met = proxy.once(CLIENT, False, lambda s: s.flags == ACK, wrong)
    listener, client = proxy.listen(), proxy.socket(CLIENT)
    proxy.dial(client)
    server = proxy.accept(listener)
    resets = proxy.until(lambda: proxy.seen(CLIENT, True, flags(RST)), "the answer to a wrong ACK")
    assert resets[0].seq == (met[0].ack + 77) & 0xFFFFFFFF
    works(proxy, client, server)


def test_data_on_the_syn_arrives_once_after_the_handshake(proxy):
    proxy.plant.namespaces[CLIENT].sysctl("tcp_fastopen", 0x5)
    listener, client, data = proxy.listen(), proxy.socket(CLIENT), proxy.bytes(400)
    try:
        client.sendto(data, socket.MSG_FASTOPEN, (Addresses.vip[0], PORT))
    except BlockingIOError:
        pass
    server = proxy.accept(listener)
    syn, = proxy.seen(CLIENT, False, flags(SYN))
    assert len(syn.payload) > 0, "this Linux sends no data on a SYN"
    assert proxy.seen(CLIENT, True, flags(SYN, ACK))[0].ack == (syn.seq + 1) & 0xFFFFFFFF
    arrived(proxy, server, data)
    works(proxy, client, server)


def test_simultaneous_open_on_the_server_leg(proxy):
    held = proxy.once(SERVER, True, lambda s: s.flags == SYN, lambda data: [(40_000, data)])
    listener, client = proxy.listen(), proxy.socket(CLIENT)
    client.connect_ex((Addresses.vip[0], PORT))
    proxy.until(lambda: held, "the pair's SYN")
    listener.close()                    # nobody listens: Linux opens itself, towards the pair
    server = proxy.socket(SERVER)
    server.bind((Addresses.server, PORT))
    server.connect_ex((Addresses.vip[1], held[0].src[1]))
    proxy.until(lambda: proxy.seen(SERVER, False, lambda s: s.flags == SYN), "Linux's SYN")
    proxy.until(lambda: proxy.seen(SERVER, True, flags(SYN, ACK)), "the answer to a SYN in SYN-SENT")
    works(proxy, client, server)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_peer_without_mss_option_gets_at_most_536_bytes(proxy, side):
    def without(data):
        segment = parse_segment(data)
        raw = data[54:14 + 20 + (data[46] >> 4) * 4]
        assert segment.options.pop(2) and raw[:2] == b"\2\4", "Linux begins with its MSS"
        return [(0, rebuilt(data, options=raw[4:]))]
    met = proxy.once(side, False, flags(SYN), without)
    client, server = proxy.connected()
    works(proxy, client, server, 20_000)
    assert met and max(len(s.payload) for s in proxy.seen(side, True)) <= 536 < max(len(s.payload) for s in proxy.seen(1 - side, True))


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_segments_never_exceed_linuxs_mss(proxy, side):
    option = ((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 400),)
    client, server = proxy.connected(option if side == CLIENT else (), option if side == SERVER else ())
    works(proxy, client, server, 20_000)
    announced = int.from_bytes(proxy.seen(side, False, flags(SYN))[0].options[2], "big")
    assert 300 < announced <= 400
    assert 300 < max(len(s.payload) for s in proxy.seen(side, True)) <= announced


def test_an_option_the_pair_does_not_know_is_ignored(proxy):
    """Linux opens with MP_CAPABLE (RFC 8684) and goes on with plain TCP when it is not answered."""
    proxy.plant.namespaces[CLIENT].run(["sysctl", "-qw", "net.mptcp.enabled=1"])
    try:
        client, server = proxy.connected(protocol=MPTCP)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ENOPROTOOPT):
            pytest.skip("this kernel has no MPTCP")
        raise
    assert 30 in proxy.seen(CLIENT, False, flags(SYN))[0].options
    assert 30 not in proxy.seen(CLIENT, True, flags(SYN))[0].options
    works(proxy, client, server, 20_000)


@pytest.mark.parametrize("bad", [b"\x08\x00\x01\x01", b"\x08\x01\x01\x01", b"\x01\x01\x08\x0a", b"\xfd\xff\x00\x00", b"\x02" * 40])
def test_an_option_of_length_0_1_or_beyond_the_header_hurts_nobody(proxy, bad):
    client, server = proxy.connected()
    met = proxy.once(CLIENT, False, with_data, lambda data: [(0, rebuilt(data, options=bad)), (2000, data)])
    works(proxy, client, server, 10_000)
    assert met


@pytest.mark.parametrize("name, kind", [("tcp_timestamps", 8), ("tcp_sack", 4), ("tcp_window_scaling", 3)])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_an_option_is_used_only_if_linux_offers_it(proxy, side, name, kind):
    proxy.plant.namespaces[side].sysctl(name, 0)
    try:
        client, server = proxy.connected()
    finally:
        proxy.plant.namespaces[side].sysctl(name, 1)
    works(proxy, client, server, 20_000)
    assert kind not in proxy.seen(side, False, flags(SYN))[0].options
    ours = proxy.seen(side, True)
    if side == CLIENT:                  # our SYN-ACK; towards the server it is we who offer
        assert kind not in ours[0].options
    used = {8: 8, 4: 5, 3: 3}[kind]
    assert all(used not in s.options for s in ours if not s.flags & SYN)


def test_time_stamps_are_in_every_segment_and_echo_linuxs(proxy):
    client, server = proxy.connected()
    works(proxy, client, server, 20_000)
    for port in (CLIENT, SERVER):
        given = set()
        for cycle, at, ours, segment in proxy.segments:
            if at != port or segment.flags & RST:
                continue
            value, echo = struct.unpack("!II", segment.options[8])
            if not ours:
                given.add(value)
            elif segment.flags & ACK:
                assert echo in given
            else:
                assert echo == 0


def test_isns_differ_by_tuple_and_a_tuple_that_comes_again_gets_a_later_one(proxy):
    listener, isns = proxy.listen(), {}
    for source in (40_001, 40_002, 40_003, 40_001):
        proxy.mark()
        client = proxy.socket(CLIENT, LINGER)
        client.bind(("", source))
        proxy.dial(client)
        proxy.accept(listener)
        isn = proxy.seen(CLIENT, True, flags(SYN))[0].seq
        if source in isns:
            assert before(isns[source], isn) and (isn - isns[source]) & 0xFFFFFFFF < 1 << 28
        isns[source] = isn
        client.close()
        proxy.until(lambda: proxy.seen(SERVER, True, flags(RST)), "the reset on the other leg")
    distances = sorted((b - a) & 0xFFFFFFFF for a in isns.values() for b in isns.values() if a != b)
    assert distances[0] > 1 << 12, "neighbouring tuples have neighbouring numbers"


# --- resets and enemies --------------------------------------------------------------------------------------------------------------
def test_a_port_nobody_serves_is_refused_through_the_proxy(proxy):
    assert refusal(proxy, proxy.socket(CLIENT), port=5999) == errno.ECONNREFUSED


def test_a_closed_port_of_the_endpoint_is_refused(endpoint):
    assert refusal(endpoint, endpoint.socket(CLIENT), port=8) == errno.ECONNREFUSED
    syn, = endpoint.seen(CLIENT, False, flags(SYN))
    answer, = endpoint.seen(CLIENT, True)
    assert answer.flags == RST | ACK and answer.ack == (syn.seq + 1) & 0xFFFFFFFF


def test_an_ack_for_no_connection_is_reset_with_its_own_number(proxy):
    client, server = proxy.connected()
    stranger = bytearray(proxy.last[CLIENT, False])
    stranger[34:36] = (54_321).to_bytes(2, "big")
    proxy.mark()
    proxy.forge(CLIENT, like=bytes(stranger), ack=9)
    answer = proxy.until(lambda: proxy.seen(CLIENT, True, flags(RST)), "a reset")[0]
    assert answer.seq == (parse_segment(bytes(stranger)).ack + 9) & 0xFFFFFFFF and answer.dst[1] == 54_321
    works(proxy, client, server)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_reset_by_linux_aborts_the_other_leg_and_is_never_a_fin(proxy, side):
    pair = proxy.connected((LINGER,), (LINGER,))
    works(proxy, *pair)
    proxy.mark()
    pair[side].close()
    proxy.until(lambda: proxy.seen(1 - side, True, lambda s: s.flags & (RST | FIN)), "the end of the other leg")
    assert proxy.seen(side, False, flags(RST)) and not proxy.seen(1 - side, True, flags(FIN)), "a FIN in place of a reset"
    assert failure(proxy, pair[1 - side]) == errno.ECONNRESET


CHALLENGED = {
    "a reset in the window": dict(flags=RST, seq=100), "a reset in the window with an ACK": dict(flags=RST | ACK, seq=1000),
    "a SYN": dict(flags=SYN, seq=50), "a SYN-ACK": dict(flags=SYN | ACK, seq=0),
    "an ACK of what was never sent": dict(flags=ACK, ack=100_000, payload=b"not to be delivered"),
    "an ACK older than any window": dict(flags=ACK, ack=-(1 << 30), payload=b"not to be delivered"),
}


@pytest.mark.parametrize("what", CHALLENGED)
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_forged_segments_are_challenged_and_the_connection_lives(proxy, side, what):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    expected = parse_segment(proxy.last[side, True])
    proxy.forge(side, **CHALLENGED[what])
    answer = proxy.until(lambda: proxy.seen(side, True), "a challenge ACK")[0]
    assert pure_ack(answer) and answer.ack == expected.ack and answer.seq == (expected.seq + expected.length) & 0xFFFFFFFF
    works(proxy, *pair)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
@pytest.mark.parametrize("distance", [-2000, 1_000_000])
def test_a_forged_reset_outside_the_window_is_dropped_in_silence(proxy, side, distance):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    proxy.forge(side, flags=RST, seq=distance)
    proxy.run(0.3)
    assert proxy.seen(side, True) == []
    works(proxy, *pair)


def test_challenge_acks_are_limited(proxy):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    for n in range(60):
        proxy.forge(CLIENT, flags=RST, seq=100 + n)
    proxy.run(0.4)
    assert 1 <= len(proxy.seen(CLIENT, True)) < 20
    works(proxy, *pair)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_segment_with_an_old_time_stamp_is_answered_and_dropped(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    proxy.forge(side, payload=b"from another life", tsval=-1_000_000)
    answer = proxy.until(lambda: proxy.seen(side, True), "an ACK")[0]
    assert pure_ack(answer)
    works(proxy, *pair)
    assert not any(b"from another life" in s.payload for s in proxy.seen(1 - side, True))


@pytest.mark.parametrize("code", [1, 2, 3])
def test_icmp_unreachable_does_not_abort_a_connection(proxy, code):
    pair = proxy.connected()
    works(proxy, *pair)
    quoted, frame = proxy.last[CLIENT, True], proxy.last[CLIENT, False]
    icmp = bytearray(struct.pack("!BBHI", 3, code, 0, 0) + quoted[14:14 + 28])
    icmp[2:4] = (ones_sum(bytes(icmp)) ^ 0xFFFF).to_bytes(2, "big")
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + frame[26:34])
    header[10:12] = (ones_sum(bytes(header)) ^ 0xFFFF).to_bytes(2, "big")
    proxy.plant.sim.push_frame(CLIENT, (frame[:14] + bytes(header + icmp)).ljust(60, b"\0"))
    proxy.run(0.2)
    works(proxy, *pair)


# --- receiving ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_corrupted_segment_is_dropped_counted_and_sent_again(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    before_it = proxy.plant.sim.read(0, "splitter_tcp_checksum")
    met = proxy.once(side, False, with_data, lambda data: [(0, data[:70] + bytes([data[70] ^ 4]) + data[71:])])
    proxy.moved(pair[side], pair[1 - side], proxy.bytes(5000))
    assert met and proxy.plant.sim.read(0, "splitter_tcp_checksum") == before_it + 1


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_segment_behind_a_hole_is_kept_answered_at_once_and_reported_by_sack(proxy, side):
    pair = proxy.connected()
    proxy.mark()
    late = proxy.once(side, False, with_data, lambda data: [(60_000, data)])
    proxy.moved(pair[side], pair[1 - side], proxy.bytes(12_000))
    hole, = late
    behind = next(s for s in proxy.seen(side, False, with_data) if s.seq != hole.seq)
    block = next(struct.unpack_from("!II", s.options[5]) for s in proxy.seen(side, True) if 5 in s.options)
    assert block[0] == behind.seq and not before(block[1], behind.seq + 1 & 0xFFFFFFFF)
    assert all(s.ack == hole.seq for s in proxy.seen(side, True, pure_ack) if 5 in s.options)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_old_duplicates_are_acknowledged_at_once_and_delivered_once(proxy, side):
    pair = proxy.connected()
    proxy.rule(lambda port, ours, s, data: [(0, data), (2500, data)] if (port, ours) == (side, False) and s.payload else None)
    proxy.moved(pair[side], pair[1 - side], proxy.bytes(20_000))
    proxy.run(0.3)
    tops = [s.ack for s in proxy.seen(side, True)]
    assert not any(before(b, a) for a, b in zip(tops, tops[1:])), "the ACK went back"
    assert len([a for a, b in zip(tops, tops[1:]) if a == b]) >= 3


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_partly_old_segment_is_trimmed(proxy, side):
    pair = proxy.connected()
    old = proxy.bytes(1000)
    proxy.moved(pair[side], pair[1 - side], old)
    proxy.run(0.3)
    new = proxy.bytes(300)
    frame = proxy.last[side, False]
    proxy.cut(side, False, with_data)
    proxy.push(pair[side], new)          # Linux counts these bytes as sent; the pair gets them in a segment that begins earlier
    proxy.forge(side, like=frame, seq=-200, payload=old[-200:] + new, honest=True)
    arrived(proxy, pair[1 - side], new)
    proxy.clear_rules()
    works(proxy, *pair)


def test_what_lies_beyond_the_window_is_trimmed_and_acknowledged_up_to_there():
    with Peers(window=1000) as peers:
        client, server = peers.connected()
        peers.settle()
        peers.mark()
        data = peers.bytes(5000)
        met = peers.once(CLIENT, False, with_data, lambda frame: [(0, rebuilt(frame, payload=data[:1400]))])
        peers.moved(client, server, data)
        first = next(s.ack for s in peers.seen(CLIENT, True) if before(met[0].seq, s.ack))
        assert len(met[0].payload) <= 1000 and (first - met[0].seq) & 0xFFFFFFFF == 1000


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_data_is_acknowledged_only_when_the_other_linux_has_it(proxy, side):
    """And what we send meanwhile towards the sender, data of the other direction too, carries the withheld number; no more than two pure
    ACKs do without a segment that came twice."""
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    told = parse_segment(proxy.last[side, True]).ack
    old = parse_segment(proxy.last[1 - side, False]).ack

    def mute(port, ours, segment, data):
        """The destination's ACKs are lost, and its data acknowledges nothing new."""
        if (port, ours) == (1 - side, False):
            return [(0, rebuilt(data, ack=old))] if segment.payload else []
    rule = proxy.rule(mute)
    data, other = proxy.bytes(2000), proxy.bytes(500)
    proxy.push(pair[side], data)
    proxy.push(pair[1 - side], other)
    proxy.run(0.6)
    arrived(proxy, pair[side], other)
    assert proxy.seen(1 - side, True, with_data), "the data reached the destination"
    assert {s.ack for s in proxy.seen(side, True)} <= {told}, "acknowledged before the destination had it"
    repeated = len(proxy.seen(side, False, with_data)) - len({s.seq for s in proxy.seen(side, False, with_data)})
    assert len(proxy.seen(side, True, pure_ack)) <= 2 + repeated
    proxy.wire.rules.remove(rule)
    arrived(proxy, pair[1 - side], data)
    proxy.until(lambda: any(s.ack == (told + 2000) & 0xFFFFFFFF for s in proxy.seen(side, True)), "the ACK")


def test_urgent_data_is_delivered_in_line(proxy):
    client, server = proxy.connected()
    client.setblocking(True)
    client.send(b"before ")
    client.send(b"urgent!", socket.MSG_OOB)
    client.send(b" after")
    client.setblocking(False)
    arrived(proxy, server, b"before urgent! after")
    assert proxy.seen(CLIENT, False, lambda s: s.flags & URG), "Linux marked nothing as urgent"


# --- windows -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_reader_that_stops_closes_the_window_of_the_sender_and_nothing_is_lost(proxy, side):
    """Linux's window closes at 1 - side; the pair probes it with growing intervals and closes the window of `side`."""
    pair = proxy.connected((SMALL,) if side == SERVER else (), (SMALL,) if side == CLIENT else ())
    data = proxy.bytes(200_000)
    push = pushing(proxy, pair[side], data)

    def probes():
        """Cycles of what the pair sent into the closed window."""
        closed = next((cycle for cycle, at, ours, s in proxy.segments if (at, ours) == (1 - side, False) and s.window == 0), None)
        return closed and [cycle for cycle, at, ours, s in proxy.segments
                           if (at, ours) == (1 - side, True) and cycle > closed and len(s.payload) <= 1]
    proxy.until(lambda: push() or len(probes() or ()) >= 4, "probes into Linux's closed window")
    shift = proxy.seen(side, True, flags(SYN))[0].options.get(3, b"\0")[0]
    edges = [(s.ack + (s.window << (0 if s.flags & SYN else shift))) & 0xFFFFFFFF for s in proxy.seen(side, True, flags(ACK))]
    assert not any(before(b, a) for a, b in zip(edges, edges[1:])), "the right edge went back"
    used = [(s.seq + s.length) & 0xFFFFFFFF for s in proxy.seen(side, False)]
    assert 0 <= edges[-1] - max(used, key=lambda seq: (seq - used[0]) & 0xFFFFFFFF) < 1460, "the sender still has a window"
    gaps = [b - a for a, b in zip(probes(), probes()[1:])]
    assert gaps[-1] > 1.5 * gaps[-2] > 2 * gaps[-3], gaps
    arrived(proxy, pair[1 - side], data, push)


def test_every_probe_into_the_closed_window_of_the_endpoint_is_answered(endpoint):
    made = endpoint.echo(CLIENT, SMALL)
    data = endpoint.bytes(150_000)
    push = pushing(endpoint, made, data)

    def into_closed(of_pair):
        closed = next((n for n, (_, at, ours, s) in enumerate(endpoint.segments) if ours and s.window == 0), len(endpoint.segments))
        return [s for _, at, ours, s in endpoint.segments[closed + 1:] if ours == of_pair]
    endpoint.until(lambda: push() or len(into_closed(False)) >= 4, "Linux's probes into our closed window")
    endpoint.settle()
    assert len(into_closed(True)) >= 4
    arrived(endpoint, made, data, push)


def test_a_window_that_shrinks_is_respected(proxy):
    """RFC 9293 §3.8.6.2.1; the wire takes from Linux's window what it had offered."""
    client, server = proxy.connected()
    works(proxy, client, server)
    limit = []

    def shrink(port, ours, segment, data):
        if (port, ours) == (SERVER, False) and not segment.flags & SYN:
            limit.append(segment.ack)
            return [(0, rebuilt(data, window=1))]
    proxy.rule(shrink)
    proxy.push(server, b"x")             # tells the pair the small window
    proxy.run(0.3)
    shift = proxy.seen(SERVER, False, flags(SYN))[0].options.get(3, b"\0")[0]
    proxy.mark()
    data = proxy.bytes(8000)
    sent = proxy.push(client, data)
    proxy.run(0.5)
    edge = (limit[-1] + (1 << shift)) & 0xFFFFFFFF
    begun = next(cycle for cycle, at, ours, s in proxy.segments if (at, ours) == (CLIENT, False) and s.payload)
    small = next(cycle for cycle, at, ours, s in proxy.segments if (at, ours) == (SERVER, True) and s.payload)
    assert small - begun > proxy.ticks(150), "a small window was filled at once"
    assert all(not before(edge, (s.seq + len(s.payload)) & 0xFFFFFFFF) for s in proxy.seen(SERVER, True, with_data))
    proxy.clear_rules()
    arrived(proxy, server, data[:sent])


# --- loss ----------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_lost_segment_is_sent_again_when_linux_reports_the_hole(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair, 20_000)
    proxy.mark()
    lost = proxy.once(side, True, with_data)
    proxy.moved(pair[1 - side], pair[side], proxy.bytes(60_000))
    hole, = lost
    at = [cycle for cycle, port, ours, s in proxy.segments if (port, ours) == (side, True) and s.seq == hole.seq and s.payload]
    reports = [cycle for cycle, port, ours, s in proxy.segments if (port, ours) == (side, False) and s.ack == hole.seq and 5 in s.options]
    assert len(at) >= 2 and reports and reports[0] < at[1]
    assert at[1] - at[0] < proxy.ticks(1000), "that was the timer"


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_timeouts_double_and_send_one_segment_until_linux_is_heard_again(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    again = proxy.cut(side, True)
    data = proxy.bytes(6000)
    proxy.push(pair[1 - side], data)
    proxy.run(3.5)
    first = proxy.seen(side, True, with_data)[0].seq
    order = [s.seq for s in proxy.seen(side, True, with_data)]
    assert len(set(order)) > 2 and set(order[order.index(first, 1):]) == {first}, "more than one segment after a timeout"
    at = [cycle for cycle, port, ours, s in proxy.segments if (port, ours) == (side, True) and s.seq == first and s.payload]
    gaps = [b - a for a, b in zip(at, at[1:])]
    assert len(gaps) >= 3 and gaps[0] >= proxy.ticks(190)
    assert all(1.7 < b / a < 2.3 for a, b in zip(gaps, gaps[1:])), gaps
    again()
    arrived(proxy, pair[side], data)
    works(proxy, *pair)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_resent_segments_are_not_measured(proxy, side):
    """Karn, without time stamps: from the first of two segments to the ACK it is a timeout and more; four such samples would double the next."""
    proxy.plant.namespaces[side].sysctl("tcp_timestamps", 0)
    try:
        pair = proxy.connected()
    finally:
        proxy.plant.namespaces[side].sysctl("tcp_timestamps", 1)
    works(proxy, *pair, 10_000)

    def timeout():
        proxy.settle()
        proxy.mark()
        lost = proxy.once(side, True, with_data)
        proxy.moved(pair[1 - side], pair[side], proxy.bytes(100))
        first, second = [cycle for cycle, at, ours, s in proxy.segments if (at, ours) == (side, True) and s.payload and s.seq == lost[0].seq][:2]
        return second - first
    timeouts = [timeout() for _ in range(5)]
    assert max(timeouts) < 1.15 * timeouts[0], timeouts


def test_a_server_that_never_answers_is_given_up_and_the_client_is_told():
    with Peers(rto_initial=100, syn_retries=2) as peers:
        peers.cut(SERVER, True)
        peers.listen()
        client = peers.socket(CLIENT)
        client.connect_ex((Addresses.vip[0], PORT))
        assert failure(peers, client) in (errno.ECONNRESET, errno.ECONNREFUSED)
        assert len(peers.seen(SERVER, True, flags(SYN))) == 3 and peers.seen(CLIENT, True, flags(RST))


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_linux_that_never_answers_is_given_up_and_the_other_linux_is_told(side):
    with Peers(rto_min=50, rto_max=100, retries=3) as peers:
        pair = peers.connected()
        works(peers, *pair)
        peers.run(0.3)
        peers.mark()
        peers.cut(side, True, lambda s: not s.flags & RST)
        peers.push(pair[1 - side], b"x" * 100)
        assert failure(peers, pair[1 - side]) == errno.ECONNRESET
        assert not peers.seen(1 - side, True, flags(FIN))
        at = [cycle for cycle, port, ours, s in peers.segments if (port, ours) == (side, True) and s.payload]
        gaps = [b - a for a, b in zip(at, at[1:])]
        assert len(gaps) == 3 and peers.ticks(40) < gaps[0] < peers.ticks(130) > gaps[-1], "the limits of the timeout are registers"


def test_the_first_flight_and_that_after_an_idle_time_have_the_size_of_a_register():
    with Peers(initial_window=2) as peers:
        pair = peers.connected()
        for _ in range(2):              # as a new connection, and with a window that has grown and an idle time after it
            peers.run(2)
            peers.mark()
            again = peers.cut(CLIENT, False, pure_ack)
            data = peers.bytes(20_000)
            push = pushing(peers, pair[1], data)
            peers.run(0.15, push)
            assert len({s.seq for s in peers.seen(CLIENT, True, with_data)}) == 2
            again()
            arrived(peers, pair[0], data, push)
            works(peers, *pair, 30_000)


# --- closing -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_half_closed_connections_carry_data_the_other_way(proxy, side):
    pair = proxy.connected()
    proxy.push(pair[side], b"the last word")
    pair[side].shutdown(socket.SHUT_WR)
    arrived(proxy, pair[1 - side], b"the last word")
    proxy.ended(pair[1 - side])
    proxy.moved(pair[1 - side], pair[side], proxy.bytes(40_000))
    pair[1 - side].shutdown(socket.SHUT_WR)
    proxy.ended(pair[side])


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_fin_is_acknowledged_only_after_the_relayed_one_was(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    proxy.mark()
    again = proxy.cut(1 - side, False)
    pair[side].shutdown(socket.SHUT_WR)
    relayed = proxy.until(lambda: proxy.seen(1 - side, True, flags(FIN)), "the relayed FIN")[0]
    proxy.run(0.3)
    fin = proxy.seen(side, False, flags(FIN))[0]
    after = (fin.seq + fin.length) & 0xFFFFFFFF
    assert all(s.ack != after for s in proxy.seen(side, True))
    again()
    proxy.until(lambda: any(s.ack == after for s in proxy.seen(side, True)), "the ACK of the FIN")
    told = next(n for n, (_, port, ours, s) in enumerate(proxy.segments) if (port, ours) == (1 - side, False)
                and s.ack == (relayed.seq + relayed.length) & 0xFFFFFFFF)
    ours = next(n for n, (_, port, ours, s) in enumerate(proxy.segments) if (port, ours) == (side, True) and s.ack == after)
    assert told < ours


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_data_for_a_linux_that_has_closed_is_reset_to_its_sender(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    pair[side].close()
    proxy.ended(pair[1 - side])
    proxy.push(pair[1 - side], b"anybody there?")
    # after the end of the stream Linux reports a reset to writers only
    error = proxy.until(lambda: pair[1 - side].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "an error")
    assert error in (errno.ECONNRESET, errno.EPIPE)
    assert proxy.seen(side, False, flags(RST)) and proxy.seen(1 - side, True, flags(RST))


def test_simultaneous_close(proxy):
    client, server = proxy.connected()
    works(proxy, client, server)
    proxy.run(0.3)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    proxy.ended(client)
    proxy.ended(server)
    proxy.until(lambda: all(proxy.seen(port, ours, flags(FIN)) for port in (CLIENT, SERVER) for ours in (False, True)), "four FINs")
    assert not any(proxy.seen(port, ours, flags(RST)) for port in (CLIENT, SERVER) for ours in (False, True))


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_fin_counts_only_when_the_gap_before_it_is_filled(proxy, side):
    pair = proxy.connected()
    works(proxy, *pair)
    lost = proxy.once(side, False, lambda s: s.payload and not s.flags & FIN)
    data = proxy.bytes(700)
    proxy.push(pair[side], data)
    proxy.until(lambda: lost, "the segment to lose")
    pair[side].shutdown(socket.SHUT_WR)
    arrived(proxy, pair[1 - side], data)
    proxy.ended(pair[1 - side])


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_fin_that_comes_again_in_time_wait_is_acknowledged_again(proxy, side):
    """The pair's FIN went first on the leg of 1 - side; Linux's own, which it repeats when our ACK of it is lost, meets TIME-WAIT."""
    pair = proxy.connected()
    works(proxy, *pair)
    proxy.run(0.3)
    pair[side].shutdown(socket.SHUT_WR)
    proxy.ended(pair[1 - side])
    proxy.run(0.3)
    proxy.mark()
    pair[1 - side].shutdown(socket.SHUT_WR)
    fin = proxy.until(lambda: proxy.seen(1 - side, False, flags(FIN)), "Linux's FIN")[0]
    lost = proxy.once(1 - side, True, lambda s: s.ack == (fin.seq + fin.length) & 0xFFFFFFFF)
    proxy.until(lambda: len(proxy.seen(1 - side, False, flags(FIN))) >= 2, "Linux's second FIN")
    proxy.until(lambda: len(proxy.seen(1 - side, True, lambda s: s.ack == lost[0].ack)) >= 2, "the second ACK")
    proxy.ended(pair[side])


@pytest.mark.parametrize("first", [0xFFFFFF00, 0xFFFF_FFFF, 0xFFFF_F000])
def test_sequence_numbers_of_linux_wrap_in_data_sack_and_fin(proxy, first):
    listener, client = proxy.listen(), proxy.socket(CLIENT)
    client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
    client.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", first))
    client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    proxy.dial(client)
    server = proxy.accept(listener)
    assert proxy.seen(CLIENT, False, flags(SYN))[0].seq in (first, (first + 1) & 0xFFFFFFFF)
    proxy.once(CLIENT, False, with_data, lambda data: [(30_000, data)])
    works(proxy, client, server, 10_000)
    client.shutdown(socket.SHUT_WR)
    proxy.ended(server)
    proxy.moved(server, client, proxy.bytes(1000))


# --- takeover ------------------------------------------------------------------------------------------------------------------------
def test_what_linux_saw_survives_a_takeover_in_the_middle_of_a_hole():
    """The standby knows nothing of data behind a hole that the dead unit reported by SACK: Linux sends it again; a tuple that comes
    again after the takeover gets a later ISN, and a FIN in TIME-WAIT is still acknowledged."""
    with Peers() as peers:
        pair = peers.connected()
        works(peers, *pair)
        isn = peers.seen(CLIENT, True, flags(SYN))[0].seq
        tuple_ = pair[0].getsockname()[1]
        hole = peers.cut(CLIENT, False, lambda s, first=[]: s.payload and (first or first.append(s.seq) or first)[0] == s.seq)
        data = peers.bytes(12_000)
        sent = peers.push(pair[0], data)
        peers.until(lambda: any(5 in s.options for s in peers.seen(CLIENT, True)), "a SACK")
        told = parse_segment(peers.last[CLIENT, True]).ack
        peers.plant.kill_active()
        peers.run(0.2)
        hole()
        arrived(peers, pair[1], data[:sent])
        acks = [s.ack for s in peers.seen(CLIENT, True)]
        assert not any(before(ack, told) for ack in acks[acks.index(told):]), "the ACK went back at the takeover"
        works(peers, *pair)
        # close: the pair ends in TIME-WAIT towards the server, where the FIN comes again
        pair[0].shutdown(socket.SHUT_WR)
        peers.ended(pair[1])
        peers.mark()
        pair[1].close()
        fin = peers.until(lambda: peers.seen(SERVER, False, flags(FIN)), "the server's FIN")[0]
        peers.once(SERVER, True, lambda s: s.ack == (fin.seq + fin.length) & 0xFFFFFFFF)
        peers.until(lambda: len(peers.seen(SERVER, True, lambda s: s.ack == (fin.seq + fin.length) & 0xFFFFFFFF)) >= 2, "the second ACK")
        peers.ended(pair[0])
        pair[0].close()
        peers.run(3)                    # over with TIME-WAIT on both sides of the tuple
        peers.mark()
        listener, client = peers.listen(), peers.socket(CLIENT, LINGER)
        client.bind(("", tuple_))
        peers.dial(client)
        peers.accept(listener)
        assert before(isn, peers.seen(CLIENT, True, flags(SYN))[0].seq)


@pytest.mark.parametrize("define, check, what", [
    ("BROKEN_ACK_BEFORE_COMMIT", test_data_is_acknowledged_only_when_the_other_linux_has_it, "acknowledged before the destination had it"),
    ("BROKEN_FIN_FOR_RST", test_a_reset_by_linux_aborts_the_other_leg_and_is_never_a_fin, "a FIN in place of a reset"),
    ("BROKEN_WINDOW_SHRINKS", test_a_reader_that_stops_closes_the_window_of_the_sender_and_nothing_is_lost, "the right edge went back"),
])
def test_a_program_with_the_defect_does_not_pass(define, check, what):
    with pytest.raises(AssertionError, match=what):
        with Peers(defines=(define,)) as peers:
            check(peers, CLIENT)
