"""Handshake and options (items 1 to 16 of hdl/spps/ucode/CHECKLIST.md) against Linux around the pair in RTL.

Where Linux shows an item by itself, it does; else the wire loses, doubles or changes one of its segments. The monitor
must explain every frame.
"""
import socket
import struct

import pytest

from spps_sim.checker.wire import ACK, RST, SYN, before, parse_segment
from spps_sim.network.testbed import Addresses
from tests.linux.env_linux import CLIENT, SERVER, Env
from tests.linux.linux_frames import after, flags, raw_options, rebuilt, with_data
from tests.linux.linux_leg import LEGS, LINGER, SMALL, LinuxLeg, simultaneous_open

NOT_V = pytest.mark.parametrize("leg", ["C", "E"], indirect=True)


def syn_of(leg):
    """Flags of the pair's own SYN on a leg."""
    return SYN if leg.name == "V" else SYN | ACK


def test_a_syn_is_acknowledged_with_the_number_behind_it(leg):
    leg.open()
    theirs, = leg.theirs(flags(SYN))
    ours, = leg.ours(flags(SYN))
    answer = ours if leg.name != "V" else leg.ours(lambda s: not s.flags & SYN)[0]
    assert answer.ack == after(theirs)
    leg.works()


def test_a_lost_syn_or_syn_ack_is_sent_again_with_the_same_isn(leg):
    lost = leg.once(True, lambda s: s.flags == syn_of(leg))
    leg.open()
    sent = leg.ours(lambda s: s.flags == syn_of(leg))
    assert lost and len(sent) >= 2 and len({s.seq for s in sent}) == 1
    if leg.name == "V":                 # elsewhere Linux's own SYN comes again, too, and is answered
        first, second = leg.times(lambda s: s.flags == SYN)
        assert leg.peers.ticks(950) < second - first < leg.peers.ticks(1100)
    leg.works()


@NOT_V
def test_a_doubled_syn_gets_one_connection_and_one_isn(leg):
    doubled = leg.once(False, flags(SYN), lambda data: [(0, data), (3000, data), (9000, data)])
    leg.open()
    leg.peers.settle()
    assert doubled and len({s.seq for s in leg.ours(flags(SYN, ACK))}) == 1
    assert leg.name == "E" or len(leg.peers.passed(SERVER, True, flags(SYN))) == 1
    leg.works()


def test_wrong_ack_before_established_is_reset_with_its_own_number_and_linux_connects_all_the_same(leg):
    first = flags(SYN, ACK) if leg.name == "V" else lambda s: s.flags == ACK

    def wrong(data):
        return [(0, rebuilt(data, ack=parse_segment(data).ack + 77)), (4000, data)]
    met = leg.once(False, first, wrong)
    leg.open()
    assert leg.answer(flags(RST)).seq == (met[0].ack + 77) & 0xFFFFFFFF
    leg.works()


@NOT_V
def test_data_on_the_syn_arrives_once_after_the_handshake(leg):
    peers, data = leg.peers, leg.peers.bytes(400)
    with peers.sysctl(CLIENT, "tcp_fastopen", 0x5):         # without a cookie
        listener, leg.near = peers.listen(), peers.socket(CLIENT)
        try:
            leg.near.sendto(data, socket.MSG_FASTOPEN, (Addresses.vip[CLIENT], leg.port))
        except BlockingIOError:
            pass
        leg.far = leg.near if leg.name == "E" else peers.accept(listener)
        peers.arrived(leg.far, data)
    syn, = leg.theirs(flags(SYN))
    assert len(syn.payload) > 0, "this Linux sends no data on a SYN"
    assert leg.ours(flags(SYN, ACK))[0].ack == (syn.seq + 1) & 0xFFFFFFFF
    leg.works()


@pytest.mark.parametrize("leg", ["V"], indirect=True)
def test_simultaneous_open(leg):
    leg.near = leg.peers.socket(leg.side)
    simultaneous_open(leg)
    assert leg.ours(flags(SYN, ACK)) and leg.theirs(lambda s: s.flags == SYN)
    leg.works()


def test_a_peer_without_mss_option_gets_at_most_536_bytes(leg):
    def without(data):
        assert raw_options(data)[:2] == b"\2\4", "Linux begins with its MSS"
        return [(0, rebuilt(data, options=raw_options(data)[4:]))]
    met = leg.once(False, flags(SYN), without)
    leg.open().works(20_000)
    assert met and 2 in met[0].options, "the option was not taken away"
    assert 400 < max(len(s.payload) for s in leg.ours()) <= 536


def test_segments_never_exceed_linuxs_mss(leg):
    leg.open(near=((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 400),)).works(20_000)
    announced = int.from_bytes(leg.theirs(flags(SYN))[0].options[2], "big")
    assert 300 < max(len(s.payload) for s in leg.ours()) <= announced <= 400


def test_an_mss_of_1_counts_as_48(leg):
    """With timestamps 36 bytes: the other 12 are the option."""
    met = leg.once(False, flags(SYN), lambda data: [(0, rebuilt(data, options=b"\2\4\0\1" + raw_options(data)[4:]))])
    leg.open().works(1500)
    assert met and 2 in met[0].options
    room = 36 if 8 in leg.ours(with_data)[0].options else 48
    assert max(len(s.payload) for s in leg.ours()) == room


@NOT_V
def test_a_reset_in_the_window_in_syn_received_is_answered_by_an_ack_and_linux_connects(leg):
    """Linux's ACK of the SYN-ACK is late; a RST in its name comes first."""
    met = leg.once(False, lambda s: s.flags == ACK,
                   lambda data: [(0, rebuilt(data, flags=RST, seq=parse_segment(data).seq + 100)), (4000, data)])
    leg.open()
    first, = leg.ours(flags(SYN, ACK))
    answer = leg.answer(lambda s: s.flags == ACK)
    assert met and answer.seq == after(first) and answer.ack == met[0].seq
    leg.works()


def test_an_option_that_nobody_knows_is_ignored(leg):
    """RFC 6994's experiments: kind 253 in Linux's SYN and in all its data."""
    def more(port, from_pair, segment, data):
        if port == leg.side and not from_pair and (segment.flags & SYN or segment.payload):
            return [(0, rebuilt(data, options=b"\xfd\x08SPPS??" + raw_options(data)))]
    leg.peers.rule(more)
    # the frames are to hold the option, too
    leg.open(near=((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1200),)).works(20_000)
    assert leg.theirs(with_data) and all(253 in s.options for s in leg.theirs(with_data))
    assert all(253 not in s.options for s in leg.ours())


@pytest.mark.parametrize(
    "bad", [b"\x08\x00\x01\x01", b"\x08\x01\x01\x01", b"\x01\x01\x08\x0a", b"\xfd\xff\x00\x00", b"\x02" * 40])
def test_an_option_of_length_0_1_or_beyond_the_header_hurts_nobody(leg, bad):
    leg.open()
    met = leg.once(False, with_data, lambda data: [(0, rebuilt(data, options=bad)), (2000, data)])
    leg.works(10_000)
    assert met


@pytest.mark.parametrize("name, in_syn, in_use", [("tcp_timestamps", 8, 8), ("tcp_sack", 4, 5)])
def test_an_option_is_used_only_if_linux_offers_it(leg, name, in_syn, in_use):
    with leg.peers.sysctl(leg.side, name, 0):
        leg.open()
    hole = leg.once(False, with_data)       # SACK would report it
    leg.works(20_000)
    assert hole
    assert in_syn not in leg.theirs(flags(SYN))[0].options
    assert leg.name == "V" or in_syn not in leg.ours(flags(SYN))[0].options     # towards a server it is we who offer
    assert all(in_use not in s.options for s in leg.ours(lambda s: not s.flags & SYN))


def test_windows_of_linux_are_not_scaled_unless_both_sent_the_option(leg):
    with leg.peers.sysctl(leg.side, "tcp_window_scaling", 0):
        leg.open(near=(SMALL,))
    assert 3 not in leg.theirs(flags(SYN))[0].options
    assert leg.name == "V" or 3 not in leg.ours(flags(SYN))[0].options
    leg.works(20_000)
    edge, judged = None, 0
    for passed in leg.peers.segments:
        segment = passed.segment
        if passed.port == leg.side and not passed.from_pair and segment.flags & ACK:
            new = (segment.ack + segment.window) & 0xFFFFFFFF
            edge = new if edge is None or before(edge, new) else edge
        elif passed.port == leg.side and segment.payload:
            judged += 1
            assert not before(edge, after(segment)), "beyond the window"
    assert judged >= 20_000 // 1460


def test_timestamps_are_in_every_segment_and_echo_linuxs(leg):
    leg.open().works(20_000)
    given, echoed = set(), 0
    for passed in leg.peers.segments:
        if passed.port == leg.side and not passed.segment.flags & RST:
            value, echo = struct.unpack("!II", passed.segment.options[8])
            if not passed.from_pair:
                given.add(value)
            else:
                assert echo in given if passed.segment.flags & ACK else echo == 0
                echoed += echo in given
    assert echoed >= 10


@pytest.mark.parametrize("name", LEGS)
def test_the_clock_of_linux_goes_through_its_end(name, privilege):
    def stamps():
        return [struct.unpack_from("!I", s.options[8])[0] for s in leg.theirs()]
    with Env(LinuxLeg.mode(name), clocks=2 * ((1 << 32) - 400,)) as peers:
        leg = LinuxLeg(peers, name).open()
        while before(stamps()[-1], 400):
            leg.works()
        assert {stamp >> 31 for stamp in stamps()} == {0, 1}
        assert all(not before(b, a) for a, b in zip(stamps(), stamps()[1:]))


@NOT_V
def test_isns_differ_by_tuple_and_a_tuple_that_comes_again_gets_a_later_one(leg):
    peers, isns = leg.peers, {}
    listener = peers.listen()
    for source in (40_001, 40_002, 40_003, 40_001):
        peers.mark()
        client = peers.socket(CLIENT, LINGER)
        client.bind(("", source))
        peers.dial(client, port=leg.port)
        if leg.name == "C":
            peers.accept(listener)
        isn = leg.ours(flags(SYN))[0].seq
        if source in isns:
            assert before(isns[source], isn) and (isn - isns[source]) & 0xFFFFFFFF < 1 << 28
        isns[source] = isn
        client.close()
        peers.settle()
    distances = [(b - a) & 0xFFFFFFFF for a in isns.values() for b in isns.values() if a != b]
    assert min(distances) > 1 << 12, "neighbouring tuples have neighbouring numbers"


def test_isns_towards_the_server_differ_by_connection(proxy):
    leg = LinuxLeg(proxy, "V")
    isns = []
    for _ in range(3):
        proxy.mark()
        leg.open()
        isns.append(leg.ours(flags(SYN))[0].seq)
    assert min((b - a) & 0xFFFFFFFF for a in isns for b in isns if a != b) > 1 << 12
