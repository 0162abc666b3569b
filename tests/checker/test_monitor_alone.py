"""The monitor where a standby restarts, where a link loses echoes, and where a server leg is lost in the handshake."""
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from spps_sim.checker.monitor import check
from spps_sim.checker.wire import CapturedFrame
from tests.checker.env_monitor import Env, found


def standby_restarts(full=True):
    """The standby dies with a record under way and is back within its lease: JOIN in the same epoch, no heartbeat."""
    t = Env()
    t.handshake()
    t.heartbeat()
    t.forward()
    t.record(confirm=False)
    t.sync(5, 0x1234)
    t.sync(6, t.number, 2)
    t.sync(4, t.number)
    t.tcp("client", True, "A", 1, 11)           # of the time between JOIN and START
    t.forward(11)
    t.tcp("client", True, "A", 1, 21)           # before the full record
    if full:
        t.record(kind=1)
        t.heartbeat()
    return t


def test_what_is_committed_before_the_full_record_needs_no_confirmation():
    assert found(standby_restarts()) == [] and found(standby_restarts(full=False)) == []


def test_what_is_committed_after_it_does():
    t = standby_restarts()
    t.forward(21)
    t.record(confirm=False)
    t.tcp("client", True, "A", 1, 31)
    assert found(t) == ["I1"]


def goes_on_alone(says_so):
    """An echo leaves the standby; an ACK without a confirmation follows; then a heartbeat."""
    t = Env()
    t.handshake()
    t.heartbeat()
    t.forward()
    t.record(confirm=False)
    t.tcp("client", True, "A", 1, 11)
    t.heartbeat(depends=not says_so, echo=False)
    return t


@pytest.mark.parametrize("says_so", [False, True])
@pytest.mark.parametrize("lossy", [False, True])
def test_an_echo_counts_unless_it_may_be_lost(says_so, lossy):
    broken = [v.invariant for v in check(goes_on_alone(says_so).frames, lossy=lossy).violations]
    assert broken == ([] if says_so and lossy else ["I1"])


class OtherPort(Env):
    """The pair uses another port towards the server from `other` on."""

    other = False

    def tcp(self, link, ours, *args, **kwargs):
        super().tcp(link, ours, *args, **kwargs)
        if self.other and link == "server":
            frame = self.frames[-1]
            packet = Ether(frame.data)
            if ours:
                packet[TCP].sport = 50001
            else:
                packet[TCP].dport = 50001
            del packet[TCP].chksum, packet[IP].chksum
            self.frames[-1] = CapturedFrame(frame.time, frame.link, frame.unit, bytes(packet))


def opened_twice(confirm=False, late=False):
    """The active dies before the client has a SYN-ACK; the next one opens another connection to the server.

    late: the record of the first one is sent when its epoch is over.
    """
    t = OtherPort()
    t.tcp("client", False, "S", 0, 0)
    t.tcp("server", True, "S", 0, 0)
    t.tcp("server", False, "SA", 0, 1)
    t.snd_una[1] += 1
    if not late:
        t.record(kind=1, confirm=confirm)
    t.take_over()
    t.heartbeat(depends=False, echo=False)
    if late:
        t.unit, t.epoch = 0, 1
        t.record(kind=1, confirm=False)
        t.unit, t.epoch, t.number = 1, 2, t.number - 1
    t.other = True
    t.tcp("client", False, "S", 0, 0)
    t.tcp("server", True, "S", 0, 0)
    t.tcp("server", False, "SA", 0, 1)
    t.tcp("client", True, "SA", 0, 1)
    t.tcp("server", True, "A", 1, 1)
    t.tcp("client", False, "A", 1, 1)
    t.forward()
    t.tcp("client", True, "A", 1, 11)
    return t


def test_a_server_leg_that_was_lost_in_the_handshake_has_a_successor():
    assert found(opened_twice()) == [] and found(opened_twice(late=True)) == []


def test_one_that_was_protected_has_none():
    assert "I1" in found(opened_twice(confirm=True))
