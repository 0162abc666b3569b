"""A destination that reads nothing (item 75 of hdl/spps/ucode/CHECKLIST.md) between Linux and Linux, the pair in RTL.

The source's `tcp_retries2` is 4: it gives up 6 s after its first retransmission. Ten minutes are simulated in
tests/ucode/test_programs_pause.py.
"""
import socket

import pytest

from spps_sim.checker.wire import ACK
from tests.linux.env_linux import Env
from tests.linux.linux_frames import flags, with_data
from tests.linux.linux_leg import SMALL, LinuxLeg

PROXIED = pytest.mark.parametrize("name", ["C", "V"])


class Pause:
    """A source at the near end of a leg whose far Linux does not read."""

    def __init__(self, peers, name):
        peers.testbed.namespaces[LinuxLeg(peers, name).side].sysctl("tcp_retries2", 4)
        self.peers, self.leg = peers, LinuxLeg(peers, name).open(far=(SMALL,))
        self.data = peers.bytes(150_000)
        self.push = peers.pushing(self.leg.near, self.data)
        peers.until(lambda: self.push() or peers.passed(self.leg.far_side, False, lambda s: s.window == 0),
                    "the far window to close")

    def wait(self, seconds):
        self.peers.run(seconds)
        assert not self.leg.near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the source gave up"
        assert not self.leg.far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the destination lost its connection"

    def resume(self):
        """Read; returns ticks from the far Linux's opening to the first new number with a window for the source."""
        peers, leg = self.peers, self.leg
        told = leg.ours(flags(ACK))[-1]
        assert told.window == 0
        peers.mark()
        pull = peers.pulling(leg.far, self.data)
        news = peers.until(
            lambda: pull() or [c for c, s in zip(leg.times(flags(ACK)), leg.ours(flags(ACK)))
                               if s.window and s.ack != told.ack], "a new number for the source")
        opened = peers.passed(leg.far_side, False, lambda s: s.window)[0].cycle
        return (news[0] - opened) / peers.tick_cycles, pull

    def end(self, pull):
        self.peers.until(lambda: self.push() or pull(), f"{len(self.data)} bytes", 60)


def gaps(leg):
    """Seconds, as the pair counts, between what the source has sent last."""
    times = [p.cycle for p in leg.peers.passed(leg.side, False, with_data)][-4:]
    return [(b - a) / leg.peers.tick_cycles / 1000 for a, b in zip(times, times[1:])]


@PROXIED
def test_a_destination_that_pauses_costs_nobody_the_connection(name, privilege):
    with Env() as peers:
        pause = Pause(peers, name)
        pause.wait(20)
        print(f"the source probes after {gaps(pause.leg)} s")
        assert gaps(pause.leg)[-1] > 5, "it would have given up"
        ticks, pull = pause.resume()
        print(f"resumed in {ticks:.0f} ticks")
        assert ticks < 1000, "not before its next timer"
        pause.end(pull)


@PROXIED
def test_a_takeover_in_the_pause(name, privilege):
    """The new unit has what the destination needs as soon as the source has probed once."""
    with Env() as peers:
        pause = Pause(peers, name)
        pause.wait(6)
        peers.testbed.kill()
        peers.mark()
        pause.wait(6)
        peers.until(lambda: pause.leg.theirs(with_data), "a probe")
        assert all(s.window == 0 for s in pause.leg.ours(flags(ACK))), "a window that nothing stands for"
        peers.settle()
        ticks, pull = pause.resume()
        print(f"resumed in {ticks:.0f} ticks")
        assert ticks < 1000, "not before its next timer"
        pause.end(pull)


def test_a_program_that_does_not_close_the_window_loses_the_source(privilege):
    with pytest.raises(AssertionError, match="the source gave up"):
        with Env(defines=("BROKEN_NO_PAUSE",)) as peers:
            Pause(peers, "C").wait(14)
