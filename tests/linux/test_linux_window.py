"""Windows (items 37 and 40 to 45, 55 of hdl/spps/ucode/CHECKLIST.md) against Linux around the pair in RTL.

The monitor must explain every frame.
"""
from spps_sim.checker.wire import ACK, SYN, before
from tests.linux.linux_frames import (
    after,
    edge,
    probe,
    rebuilt,
    scale,
    with_data,
)
from tests.linux.linux_leg import SMALL


def test_a_reader_that_stops_closes_the_window_of_the_sender_and_nothing_is_lost(leg):
    """Linux's window closes at the far side; the pair probes it with growing intervals and closes the near window.

    Of the endpoint both are the same Linux, which sends and does not read.
    """
    peers = leg.open(**{"near" if leg.name == "E" else "far": (SMALL,)}).peers
    data = peers.bytes(150_000)
    push = peers.pushing(leg.near, data)

    def probes():
        """Cycles of what the pair sent into the closed window."""
        closed = next((p.cycle for p in peers.passed(leg.far_side, False, lambda s: s.window == 0)), None)
        return [p.cycle for p in peers.passed(leg.far_side, True, probe) if closed and p.cycle > closed]
    peers.until(lambda: push() or len(probes()) >= 4, "probes into Linux's closed window")
    shift = scale(leg.ours())
    # but for a window of 0 that answers a retransmission: see test_linux_pause
    edges = [edge(s, shift) for s in leg.ours(lambda s: s.flags & ACK and (leg.name == "E" or s.window))]
    assert not any(before(b, a) for a, b in zip(edges, edges[1:])), "the right edge went back"
    first = leg.theirs()[0].seq
    used = max((after(s) - first) & 0xFFFFFFFF for s in leg.theirs())
    assert 0 <= ((edges[-1] - first) & 0xFFFFFFFF) - used < 1460, "the sender still has a window"
    gaps = [b - a for a, b in zip(probes(), probes()[1:])]
    assert gaps[-1] > 1.5 * gaps[-2] and gaps[-2] > 1.3 * gaps[-3], gaps
    peers.arrived(leg.far, data, push)


def test_every_probe_into_the_closed_window_of_the_endpoint_is_answered(endpoint):
    made = endpoint.echo(options=(SMALL,))
    data = endpoint.bytes(150_000)
    push = endpoint.pushing(made, data)

    def into_closed(from_pair):
        closed = next((n for n, p in enumerate(endpoint.segments) if p.from_pair and p.segment.window == 0),
                      len(endpoint.segments))
        return [p for p in endpoint.segments[closed + 1:] if p.from_pair == from_pair]
    endpoint.until(lambda: push() or len(into_closed(False)) >= 4, "Linux's probes into our closed window")
    probes = len(into_closed(False))
    endpoint.settle()
    assert len(into_closed(True)) >= probes
    endpoint.arrived(made, data, push)


def test_a_window_that_shrinks_is_respected_and_a_small_one_not_filled_at_once(leg):
    """RFC 9293 §3.8.6.2; the wire takes from Linux's window what it had offered."""
    peers = leg.open().peers
    leg.works()
    limit = []

    def shrink(port, from_pair, segment, data):
        if (port, from_pair) == (leg.side, False) and not segment.flags & SYN:
            limit.append(segment.ack)
            return [(0, rebuilt(data, window=1))]
    rule = peers.rule(shrink)
    leg.out(b"x")                       # tells the pair the small window
    peers.settle()
    shift = scale(leg.theirs())
    peers.mark()
    data = peers.bytes(8000)
    sent = peers.push(leg.far, data)
    peers.until(lambda: leg.ours(with_data), "what the small window holds")
    peers.run(0.3)
    begun = peers.passed(leg.far_side, False, with_data)[0].cycle
    assert leg.times(with_data)[0] - begun > peers.ticks(150), "a small window was filled at once"
    right = (limit[-1] + (1 << shift)) & 0xFFFFFFFF
    assert all(not before(right, after(s)) for s in leg.ours(with_data))
    peers.lift(rule)
    peers.arrived(leg.near, data[:sent])
