"""Loss and timers (items 46 to 54 of hdl/spps/ucode/CHECKLIST.md) against Linux around the pair in RTL.

The monitor must explain every frame.
"""
import errno

import pytest

from spps_sim.checker.wire import FIN, RST, SYN, parse_segment
from spps_sim.network.testbed import Addresses
from tests.linux.env_linux import CLIENT, PORT, SERVER, Env
from tests.linux.linux_frames import flags, rebuilt, with_data
from tests.linux.linux_leg import LEGS, LinuxLeg

EACH = pytest.mark.parametrize("name", LEGS)


def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


def test_a_lost_segment_is_sent_again_when_linux_reports_the_hole(leg):
    leg.open().works(20_000)
    leg.peers.mark()
    lost = leg.once(True, with_data)
    leg.back(leg.peers.bytes(60_000))
    hole, = lost
    first, second, *_ = leg.times(lambda s: s.seq == hole.seq and s.payload)
    reports = leg.peers.passed(leg.side, False, lambda s: s.ack == hole.seq and 5 in s.options)
    assert reports and reports[0].cycle < second
    assert second - first < leg.peers.ticks(1000), "that was the timer"


def test_timeouts_double_and_send_one_segment_until_linux_is_heard_again(leg):
    leg.at_rest()
    rule = leg.cut(True)
    data = leg.peers.bytes(6000)
    leg.peers.push(leg.far, data)
    leg.peers.run(3.5)
    order = [s.seq for s in leg.ours(with_data)]
    first = order[0]
    assert len(set(order)) > 2 and set(order[order.index(first, 1):]) == {first}, (
        "more than one segment after a timeout")
    waits = gaps(leg.times(lambda s: s.seq == first and s.payload))
    assert len(waits) >= 3 and waits[0] >= leg.peers.ticks(190)
    assert all(1.7 < b / a < 2.3 for a, b in zip(waits, waits[1:])), waits
    leg.peers.lift(rule)
    leg.peers.arrived(leg.near, data)
    leg.works()


def test_resent_segments_are_not_measured(leg):
    """Karn, without timestamps.

    From the first of two segments to the ACK it is a timeout and more; four such samples would double the next.
    A segment that is sent once follows each: until it is measured the RTO stays backed off (RFC 6298 §5).
    """
    with leg.peers.sysctl(leg.side, "tcp_timestamps", 0):
        leg.open()
    leg.works(10_000)

    def timeout():
        leg.peers.settle()
        leg.peers.mark()
        lost = leg.once(True, with_data)
        leg.back(leg.peers.bytes(100))
        first, second, *_ = leg.times(lambda s: s.payload and s.seq == lost[0].seq)
        leg.peers.settle()
        leg.back(leg.peers.bytes(100))
        return second - first
    timeouts = [timeout() for _ in range(5)]
    assert max(timeouts) < 1.15 * timeouts[0], timeouts


@pytest.mark.parametrize("timestamps", [0, 1])
def test_a_round_trip_longer_than_the_timeout_is_learnt(leg, timestamps):
    """Everything that Linux sends after the handshake comes half a second late. Only the first segments go twice."""
    with leg.peers.sysctl(leg.side, "tcp_timestamps", timestamps):
        leg.open()
    leg.works(3000)
    leg.peers.settle()
    late = leg.peers.rule(lambda port, from_pair, segment, data:
                          [(leg.peers.ticks(500), data)] if (port, from_pair) == (leg.side, False) else None)

    def twice():
        """How often the pair sent a segment of this piece again."""
        leg.peers.mark()
        leg.back(leg.peers.bytes(100))
        leg.peers.run(1)
        numbers = [s.seq for s in leg.ours(with_data)]
        return len(numbers) - len(set(numbers))
    repeats = [twice() for _ in range(8)]
    assert repeats[-3:] == [0, 0, 0], repeats
    leg.peers.lift(late)
    leg.works()


def test_a_server_that_never_answers_is_given_up_and_the_client_is_told(privilege):
    with Env(rto_initial=100, syn_retries=2) as peers:
        peers.cut(SERVER, True)
        peers.listen()
        client = peers.socket(CLIENT)
        client.connect_ex((Addresses.vip[CLIENT], PORT))
        assert peers.error_of(client) in (errno.ECONNRESET, errno.ECONNREFUSED)
        assert len(peers.passed(SERVER, True, flags(SYN))) == 3 and peers.passed(CLIENT, True, flags(RST))


@EACH
def test_linux_that_never_answers_is_given_up_and_the_other_linux_is_told(name, privilege):
    with Env(LinuxLeg.mode(name), rto_min=50, rto_max=100, retries=3) as peers:
        leg = LinuxLeg(peers, name).at_rest()
        leg.cut(True, lambda s: not s.flags & RST)
        peers.push(leg.far, b"x" * 100)
        peers.until(lambda: len(leg.ours(with_data)) >= 4, "three retransmits")
        if name == "E":
            peers.until(lambda: peers.testbed.sim.read(0, "in_use") == 0, "the end of the connection")
        else:
            assert peers.error_of(leg.far) == errno.ECONNRESET
            assert not peers.passed(leg.far_side, True, flags(FIN))
        waits = gaps(leg.times(with_data))
        assert len(waits) == 3 and peers.ticks(40) < waits[0] < peers.ticks(130) > waits[-1], (
            "the limits of the timeout are registers")


@EACH
def test_the_first_flight_and_that_after_an_idle_time_have_the_size_of_a_register(name, privilege):
    with Env(LinuxLeg.mode(name), initial_window=2) as peers:
        leg = LinuxLeg(peers, name).open()
        # as a new connection, and with a window that has grown and an idle time after it
        for _ in range(2):
            peers.run(2)
            peers.mark()
            old = parse_segment(peers.last[leg.side, False]).ack

            def mute(port, from_pair, segment, data, old=old):
                """Nothing of what Linux gets is acknowledged."""
                if (port, from_pair) == (leg.side, False):
                    return [(0, rebuilt(data, ack=old))] if segment.payload else []
            rule = peers.rule(mute)
            data = peers.bytes(20_000)
            push = peers.pushing(leg.far, data)
            peers.until(lambda push=push: push() or len(leg.ours(with_data)) >= 2, "the first flight")
            peers.run(0.1, push)
            assert len({s.seq for s in leg.ours(with_data)}) == 2
            peers.lift(rule)
            peers.arrived(leg.near, data, push)
            leg.works(30_000)
