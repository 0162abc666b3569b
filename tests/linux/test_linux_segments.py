"""Resets, attackers and receiving (items 17 to 39 of hdl/spps/ucode/CHECKLIST.md) against Linux around the pair in RTL.

Segments of an attacker are forged in Linux's name while its connection lives. The monitor must explain every frame.
"""
import errno
import socket
import struct

import pytest

from spps_sim.checker.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    URG,
    before,
    ones_sum,
    parse_segment,
)
from tests.linux.env_linux import CLIENT, Env
from tests.linux.linux_frames import after, edge, flags, pure_ack, rebuilt, scale, with_data
from tests.linux.linux_leg import LEGS, LINGER, LinuxLeg

PROXIED = pytest.mark.parametrize("leg", ["C", "V"], indirect=True)


def refusal(peers, made, **to):
    with pytest.raises(OSError) as found:
        peers.dial(made, **to)
    return found.value.errno


def test_a_port_nobody_serves_is_refused_through_the_proxy(proxy):
    assert refusal(proxy, proxy.socket(CLIENT), port=5999) == errno.ECONNREFUSED


@pytest.mark.parametrize("leg, port", [("V", 5999), ("E", 8)], indirect=["leg"])
def test_a_closed_port_is_refused(leg, port):
    assert refusal(leg.peers, leg.peers.socket(leg.side), side=leg.side, port=port) == errno.ECONNREFUSED
    syn, = leg.theirs(flags(SYN))
    answer, = leg.ours()
    assert answer.flags == RST | ACK and answer.ack == (syn.seq + 1) & 0xFFFFFFFF


def test_an_ack_for_no_connection_is_reset_with_its_own_number(leg):
    leg.at_rest()
    stranger = bytearray(leg.peers.last[leg.side, False])
    stranger[34:36] = (54_321).to_bytes(2, "big")
    leg.forge(like=bytes(stranger), ack=9)
    answer = leg.answer(flags(RST))
    assert answer.seq == (parse_segment(bytes(stranger)).ack + 9) & 0xFFFFFFFF and answer.dst[1] == 54_321
    leg.works()


@PROXIED
def test_a_reset_by_linux_aborts_the_other_leg_and_is_never_a_fin(leg):
    leg.at_rest(near=(LINGER,))
    leg.near.close()
    ends = leg.peers.until(lambda: leg.peers.passed(leg.far_side, True, lambda s: s.flags & (RST | FIN)),
                           "the end of the other leg")
    assert leg.theirs(flags(RST)) and not any(p.segment.flags & FIN for p in ends), "a FIN in place of a reset"
    assert leg.peers.error_of(leg.far) == errno.ECONNRESET


@pytest.mark.parametrize("leg", ["E"], indirect=True)
def test_a_reset_by_linux_leaves_nothing_in_the_endpoint(leg):
    used = leg.peers.testbed.sim.read(0, "in_use")
    leg.at_rest(near=(LINGER,))
    assert leg.peers.testbed.sim.read(0, "in_use") == used + 1
    leg.near.close()
    leg.peers.settle()
    assert leg.theirs(flags(RST)) and not leg.ours() and leg.peers.testbed.sim.read(0, "in_use") == used


CHALLENGED = {
    "a reset in the window": dict(flags=RST, seq=100),
    "a reset in the window with an ACK": dict(flags=RST | ACK, seq=1000),
    "a SYN": dict(flags=SYN, seq=50), "a SYN with FIN": dict(flags=SYN | FIN, seq=50),
    "a SYN with FIN in order": dict(flags=SYN | FIN | ACK, seq=0),
    "a SYN-ACK": dict(flags=SYN | ACK, seq=0),
    "an ACK of what was never sent": dict(flags=ACK, ack=100_000, payload=b"not to be delivered"),
    "an ACK older than any window": dict(flags=ACK, ack=-(1 << 30), payload=b"not to be delivered"),
}


@pytest.mark.parametrize("what", CHALLENGED)
def test_forged_segments_are_challenged_and_the_connection_lives(leg, what):
    leg.at_rest()
    expected = parse_segment(leg.peers.last[leg.side, True])
    leg.forge(**CHALLENGED[what])
    answer = leg.answer()
    assert pure_ack(answer) and answer.ack == expected.ack
    assert answer.seq == (expected.seq + expected.length) & 0xFFFFFFFF
    leg.works()


@pytest.mark.parametrize("distance", [-2000, 1_000_000])
def test_a_forged_reset_outside_the_window_is_dropped_in_silence(leg, distance):
    leg.at_rest()
    leg.forge(flags=RST, seq=distance)
    leg.peers.run(0.3)
    assert leg.ours() == []
    leg.works()


def test_challenge_acks_are_limited_to_ten_in_rto_initial(leg):
    leg.at_rest()
    for n in range(60):
        leg.forge(flags=RST, seq=100 + n)
    leg.peers.run(0.4)
    assert len(leg.ours()) == 10
    leg.works()


def test_a_segment_with_an_old_timestamp_is_answered_and_dropped(leg):
    leg.at_rest()
    leg.forge(payload=b"from another life", tsval=-1_000_000)
    assert pure_ack(leg.answer())
    leg.works()


@pytest.mark.parametrize("what", [FIN | ACK, ACK])
def test_a_bad_ack_with_a_late_timestamp_does_not_shut_linux_out(leg, what):
    """PAWS would refuse all of Linux's data if the challenged segment had moved TS.Recent."""
    leg.at_rest()
    leg.forge(flags=what, ack=100_000, tsval=1 << 29)
    assert pure_ack(leg.answer())
    leg.works()


def test_a_forged_reset_at_the_right_edge_is_dropped_in_silence(leg):
    leg.open().works()
    shift = scale(leg.ours())
    leg.peers.settle()
    leg.peers.mark()
    told, theirs = (parse_segment(leg.peers.last[leg.side, from_pair]) for from_pair in (True, False))
    leg.forge(flags=RST, seq=edge(told, shift) - after(theirs))
    leg.peers.run(0.3)
    assert leg.ours() == []
    leg.works()


def test_a_fin_without_ack_for_a_closed_port_is_reset(leg):
    leg.at_rest()
    stranger = bytearray(leg.peers.last[leg.side, False])
    stranger[34:36] = (54_321).to_bytes(2, "big")
    leg.forge(like=bytes(stranger), flags=FIN, payload=b"xyz")
    answer = leg.answer(flags(RST))
    expected = after(parse_segment(bytes(stranger))) + 4
    assert (answer.flags, answer.seq, answer.ack) == (RST | ACK, 0, expected & 0xFFFFFFFF)
    leg.works()


@pytest.mark.parametrize("code", [1, 2, 3])
def test_icmp_unreachable_does_not_abort_a_connection(leg, code):
    leg.at_rest()
    quoted, frame = leg.peers.last[leg.side, True], leg.peers.last[leg.side, False]
    icmp = bytearray(struct.pack("!BBHI", 3, code, 0, 0) + quoted[14:14 + 28])
    icmp[2:4] = (ones_sum(bytes(icmp)) ^ 0xFFFF).to_bytes(2, "big")
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + frame[26:34])
    header[10:12] = (ones_sum(bytes(header)) ^ 0xFFFF).to_bytes(2, "big")
    leg.peers.testbed.sim.push_frame(leg.side, (frame[:14] + bytes(header + icmp)).ljust(60, b"\0"))
    leg.peers.run(0.2)
    assert leg.ours() == []
    leg.works()


# --- receiving --------------------------------------------------------------------------------------------------------
def test_a_corrupted_segment_is_dropped_counted_and_sent_again(leg):
    leg.at_rest()
    count = leg.peers.testbed.sim.read(0, "splitter_tcp_checksum")
    met = leg.once(False, with_data, lambda data: [(0, data[:70] + bytes([data[70] ^ 4]) + data[71:])])
    leg.out(leg.peers.bytes(5000))
    assert met and leg.peers.testbed.sim.read(0, "splitter_tcp_checksum") == count + 1


def test_a_segment_behind_a_hole_is_kept_answered_at_once_and_reported_by_sack(leg):
    leg.at_rest()
    late = leg.once(False, with_data, lambda data: [(60_000, data)])
    leg.out(leg.peers.bytes(12_000))
    hole, = late
    behind = next(s for s in leg.theirs(with_data) if s.seq != hole.seq)
    # below the ACK is D-SACK: Linux has sent the hole again
    reports = leg.ours(lambda s: 5 in s.options and not before(*struct.unpack_from("!I", s.options[5]), s.ack))
    left, right = struct.unpack_from("!II", reports[0].options[5])
    assert left == behind.seq and before(left, right)
    assert all(s.ack == hole.seq for s in reports)


def test_four_holes_are_reported_and_filled_without_resending_the_rest(leg):
    """Every second of eight segments is lost until the others are reported; then they arrive in Linux's first order."""
    leg.at_rest(near=((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 212),))       # 200 bytes and a timestamp
    data, lost = leg.peers.bytes(8 * 200), {}
    start = after(parse_segment(leg.peers.last[leg.side, False]))

    def sieve(port, from_pair, segment, data):
        if ((port, from_pair) == (leg.side, False) and segment.payload
            and ((segment.seq - start) & 0xFFFFFFFF) % 400 == 0):
            lost.setdefault(segment.seq, data)
            return []
    rule = leg.peers.rule(sieve)
    leg.near.send(data)

    def reported():
        return {struct.unpack_from("!I", s.options[5])[0] for s in leg.ours() if 5 in s.options}
    kept = {(start + at) & 0xFFFFFFFF for at in range(200, 1600, 400)}
    leg.peers.until(lambda: reported() == kept, "four reports")
    leg.peers.lift(rule)
    for frame in lost.values():
        leg.peers.testbed.sim.push_frame(leg.side, frame)
    leg.peers.arrived(leg.far, data)
    assert len(lost) == 4 and len([s for s in leg.theirs(with_data) if s.seq in kept]) == 4, "what was kept came again"


def test_old_duplicates_are_acknowledged_at_once_and_delivered_once(leg):
    leg.at_rest()
    leg.peers.rule(lambda port, ours, s, data: (
        [(0, data), (2500, data)] if (port, ours) == (leg.side, False) and s.payload else None))
    leg.out(leg.peers.bytes(20_000))
    leg.peers.settle()
    tops = [s.ack for s in leg.ours()]
    assert not any(before(b, a) for a, b in zip(tops, tops[1:])), "the ACK went back"
    assert len([a for a, b in zip(tops, tops[1:]) if a == b]) >= 3


def test_a_partly_old_segment_is_trimmed(leg):
    leg.open()
    old, new = leg.peers.bytes(1000), leg.peers.bytes(300)
    leg.out(old)
    leg.peers.settle()
    frame = leg.peers.last[leg.side, False]
    rule = leg.cut(False, with_data)
    # Linux counts these bytes as sent; the pair gets them in a segment that begins earlier
    leg.peers.push(leg.near, new)
    leg.forge(like=frame, seq=-200, payload=old[-200:] + new, honest=True)
    leg.peers.arrived(leg.far, new)
    leg.peers.lift(rule)
    leg.works()


@pytest.mark.parametrize("name", LEGS)
def test_what_lies_beyond_the_window_is_trimmed_and_acknowledged_up_to_there(name, privilege):
    with Env(LinuxLeg.mode(name), window=1000) as peers:
        leg = LinuxLeg(peers, name).open(near=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),))
        peers.settle()
        last = parse_segment(peers.last[leg.side, True])
        data, base, done = peers.bytes(5000), last.ack, []
        assert last.window == 1000
        peers.mark()

        def longer(port, from_pair, segment, frame):
            """When Linux has sent all that the window allows, one segment with that and more; nothing before it."""
            if (port, from_pair) == (leg.side, False) and segment.payload and not done:
                if after(segment) != (base + 1000) & 0xFFFFFFFF:
                    return []
                done.append(segment)
                return [(0, rebuilt(frame, seq=base, payload=data[:1400]))]
        peers.rule(longer)
        leg.out(data)
        assert done and next(s.ack for s in leg.ours() if s.ack != base) == (base + 1000) & 0xFFFFFFFF


@PROXIED
def test_data_is_acknowledged_only_when_the_other_linux_has_it(leg):
    """What we send meanwhile towards the sender, data of the other direction too, carries the withheld number.

    No more than two pure ACKs do without a segment that came twice.
    """
    peers = leg.at_rest().peers
    told, old = (parse_segment(peers.last[port, from_pair]).ack
                 for port, from_pair in ((leg.side, True), (leg.far_side, False)))

    def mute(port, ours, segment, data):
        """The destination's ACKs are lost, and its data acknowledges nothing new."""
        if (port, ours) == (leg.far_side, False):
            return [(0, rebuilt(data, ack=old))] if segment.payload else []
    rule = peers.rule(mute)
    data, other = peers.bytes(2000), peers.bytes(500)
    peers.push(leg.near, data)
    peers.push(leg.far, other)
    peers.run(0.6)
    peers.arrived(leg.near, other)
    assert peers.passed(leg.far_side, True, with_data), "the data reached the destination"
    assert {s.ack for s in leg.ours()} <= {told}, "acknowledged before the destination had it"
    repeated = len(leg.theirs(with_data)) - len({s.seq for s in leg.theirs(with_data)})
    assert len(leg.ours(pure_ack)) <= 2 + repeated
    peers.lift(rule)
    peers.arrived(leg.far, data)
    leg.answer(lambda s: s.ack == (told + 2000) & 0xFFFFFFFF)


def test_urgent_data_is_delivered_in_line(leg):
    leg.at_rest()
    leg.near.setblocking(True)
    for text, options in ((b"before ", 0), (b"urgent!", socket.MSG_OOB), (b" after", 0)):
        leg.near.send(text, options)
    leg.near.setblocking(False)
    leg.peers.arrived(leg.far, b"before urgent! after")
    assert leg.theirs(flags(URG)), "Linux marked nothing as urgent"
