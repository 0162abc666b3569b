"""Windows beyond 65535 bytes and congestion control in them (items 11 and 51 of hdl/spps/ucode/CHECKLIST.md).

Linux is around a pair in RTL with 128 KiB for each direction. The monitor must explain every frame.
"""
import socket
from contextlib import contextmanager

import pytest

from spps.params import TINY
from spps_sim.checker.wire import ACK, SYN, before, parse_segment
from tests.linux.env_linux import Env
from tests.linux.linux_frames import (
    after,
    edge,
    flags,
    latest,
    patched,
    probe,
    rebuilt,
    scale,
    with_data,
)
from tests.linux.linux_leg import LEGS, LinuxLeg

EACH = pytest.mark.parametrize("name", LEGS)
WINDOW = 1 << 17
WIDE = TINY.replace(socket_bytes=WINDOW, pool_pages=(2048, 64, 32, 16))        # the pages of several windows
ROUND_TRIP, QUIET = 14_000, 5000        # cycles; a turn of the testbed has 2000
DEEP = (socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)       # Linux doubles it
SLOW = {"rto_min": 1000}


@contextmanager
def wide(name, **more):
    """Linux around a pair with much room, in the mode of the leg; both Linux send all of it at once."""
    with Env(LinuxLeg.mode(name), params=WIDE, window=WINDOW, rcv_wscale=2, **more) as peers:
        for namespace in peers.testbed.namespaces:
            namespace.route("initcwnd", "100")
        yield peers


def stock(leg, data, act=lambda segment, data: data, **options):
    """A new connection with more data for this leg than may be in flight. Returns a function that pushes.

    The round trip is long, so that a flight can be seen, and act(segment, frame) changes what Linux sends.
    """
    peers = leg.open(**options).peers
    peers.rule(lambda port, ours, segment, frame: (
        [(ROUND_TRIP, act(segment, frame))] if (port, ours) == (leg.side, False) else None))
    peers.settle()
    peers.mark()
    return peers.pushing(leg.far, data)


@EACH
def test_linux_fills_a_window_that_needs_its_scale(name, privilege):
    """The far Linux does not take it: what the near one sent and the far one did not acknowledge is in our window."""
    with wide(name) as peers:
        leg = LinuxLeg(peers, name).open(**{"near" if name == "E" else "far": (DEEP,)})
        shift = scale(leg.ours())
        begun, begun_far = leg.theirs(flags(SYN))[0].seq, peers.passed(leg.far_side, True, flags(SYN))[0].segment.seq
        data = peers.bytes(250_000)
        push = peers.pushing(leg.near, data)
        peers.until(lambda: push() or len(peers.passed(leg.far_side, True, probe)) >= 2,
                    "probes into Linux's closed window")
        sent = latest(after(s) for s in leg.theirs())
        taken = latest(p.segment.ack for p in peers.passed(leg.far_side, False, flags(ACK)))
        assert not before(latest(edge(s, shift) for s in leg.ours(flags(ACK))), sent), "beyond our window"
        assert 65535 < ((sent - begun) - (taken - begun_far)) & 0xFFFFFFFF <= WINDOW
        peers.arrived(leg.far, data, push)


def fills_windows_scaled_by_more_than_14(leg):
    """The wire makes 15 of Linux's shift and rounds its windows down to multiples of 2^14.

    What is sent may come near Linux's edge, and not pass it.
    """
    peers, shifts, edges = leg.peers, [], []

    def of_syn(data):
        shifts.append(scale([parse_segment(data)]))
        return [(0, patched(data, bytes((1, 3, 3, shifts[0])), bytes((1, 3, 3, 15))))]

    def act(segment, data):
        edges.append(edge(segment, shifts[0]))
        return rebuilt(data, window=segment.window << shifts[0] >> 14)
    leg.once(False, flags(SYN), of_syn)
    data = peers.bytes(200_000)
    push = stock(leg, data, act, near=(DEEP,))
    peers.until(lambda: push() or len(leg.ours(probe)) >= 2, "probes into a window that is closed")
    sent = latest(after(s) for s in leg.ours(lambda s: len(s.payload) > 1))
    assert not before(latest(edges), sent), "beyond Linux's window"
    assert (latest(edges) - sent) & 0xFFFFFFFF < (1 << 14) + 1460
    peers.arrived(leg.near, data, push)


@EACH
def test_a_window_scale_beyond_14_counts_as_14(name, privilege):
    with wide(name, initial_window=60, **SLOW) as peers:
        fills_windows_scaled_by_more_than_14(LinuxLeg(peers, name))


def flights(leg, first, end):
    """[(cwnd, ssthresh, flight)] at each moment when the pair has sent what it may, after a timeout; and SMSS.

    The list begins with the first segment that Linux gets after the timeout.
    cwnd by RFC 5681 §3.1, counting bytes, from the ACKs that came. first: the highest number sent before the timeout;
    end: that behind all data.
    """
    seen = [p for p in leg.peers.segments if p.port == leg.side]
    seen = seen[next(n for n, p in enumerate(seen) if p.from_pair and p.segment.payload):]
    snd_una = high = seen[0].segment.seq
    mss = max(len(p.segment.payload) for p in seen if p.from_pair)
    ssthresh, cwnd, acked, found = max(((first - snd_una) & 0xFFFFFFFF) // 2, 2 * mss), mss, 0, []
    for passed, following in zip(seen, seen[1:]):
        segment = passed.segment
        if passed.from_pair:
            high = latest((high, after(segment))) if segment.payload else high
        elif before(snd_una, segment.ack):
            count, snd_una = (segment.ack - snd_una) & 0xFFFFFFFF, segment.ack
            acked += count
            if cwnd < ssthresh:
                acked, cwnd = 0, cwnd + min(count, mss)
            elif acked >= cwnd:
                acked, cwnd = acked - cwnd, cwnd + mss
        if following.cycle - passed.cycle > QUIET and high != end:
            found.append((cwnd, ssthresh, (high - snd_una) & 0xFFFFFFFF))
    return found, mss


def grows_up_to_half_the_flight_and_slowly_on(leg):
    """A flight is lost whole."""
    peers = leg.peers

    def repeated():
        """And all data is in the pair."""
        order = [s.seq for s in leg.ours(with_data)]
        stored = {p.segment.seq: len(p.segment.payload) for p in peers.passed(leg.far_side, False, with_data)}
        return len(order) > len(set(order)) and sum(stored.values()) >= len(data)
    data = peers.bytes(60_000)          # what fits in a window as a SYN announces it
    push = stock(leg, data)
    lost = leg.cut(True, with_data)
    peers.until(lambda: push() or repeated(), "a timeout")
    begun, first = leg.ours(with_data)[0].seq, latest(after(s) for s in leg.ours(with_data))
    peers.mark()
    peers.lift(lost)
    peers.arrived(leg.near, data, push)
    found, mss = flights(leg, first, (begun + len(data)) & 0xFFFFFFFF)
    assert all(flight <= cwnd for cwnd, _, flight in found), f"more in flight than RFC 5681 lets: {found}"
    assert all(cwnd - flight < mss for cwnd, _, flight in found), f"less in flight than RFC 5681 lets: {found}"
    assert sum(cwnd <= ssthresh for cwnd, ssthresh, _ in found) >= 3, found
    assert max(cwnd for cwnd, *_ in found) >= found[0][1] + 3 * mss, found


@EACH
def test_after_a_timeout_the_flight_doubles_up_to_half_and_then_grows_by_a_segment_each_round_trip(name, privilege):
    with wide(name, initial_window=6, **SLOW) as peers:
        grows_up_to_half_the_flight_and_slowly_on(LinuxLeg(peers, name))


@pytest.mark.parametrize("define, segments, check, what", [
    ("BROKEN_SCALE", 60, fills_windows_scaled_by_more_than_14, "beyond Linux's window"),
    ("BROKEN_SSTHRESH", 6, grows_up_to_half_the_flight_and_slowly_on, "more in flight"),
])
def test_a_program_with_the_defect_does_not_pass(define, segments, check, what, privilege):
    with pytest.raises(AssertionError, match=what):
        with wide("C", defines=(define,), initial_window=segments, **SLOW) as peers:
            check(LinuxLeg(peers, "C"))
