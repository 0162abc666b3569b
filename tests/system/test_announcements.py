"""Gratuitous ARP of a pair in RTL: whoever becomes active tells both networks, and the standby nothing."""
import pytest

from spps.gen import preset_params
from spps_sim.backend.interface import FrameKind
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign.scenario import VIP, Scenario
from spps_sim.peers.frames import Arp, ip_number, parse_arp

pytestmark = pytest.mark.rtl

MAC, COUNT, INTERVAL = bytes.fromhex("02005e5d5001"), 3, 20
REQUEST, REPLY = 1, 2
SETTLE = 20_000         # clocks in which a pair is protected, and a takeover is over


class Pair:
    """A pair of preset tiny without peers."""

    def __init__(self, **registers):
        self.sim = Simulation.of(preset_params("tiny"))
        scenario = Scenario(registers={"announce_count": COUNT, "announce_interval": INTERVAL} | registers)
        self.sim.configure(scenario.pair_registers())
        self.tick = scenario.tick

    def frames(self, clocks):
        """[(unit, network, ARP packet)] of the frames that leave in so many clocks."""
        self.sim.step(clocks)
        return [(f.unit, f.side, parse_arp(f.data)) for f in self.sim.pop_frames() if f.kind is FrameKind.OUT]

    def counted(self, unit, *names):
        return [self.sim.read(unit, name) for name in names]


def announcements(unit, number):
    """What a unit sends on the networks, in order on each."""
    return {network: [(unit, network, Arp(operation, MAC, vip, MAC if operation == REPLY else bytes(6), vip))
                      for _ in range(number) for operation in (REQUEST, REPLY)]
            for network, vip in enumerate(map(ip_number, VIP))}


def by_network(frames):
    return {network: [frame for frame in frames if frame[1] == network] for network in (0, 1)}


def test_each_unit_that_becomes_active_announces_itself_and_the_standby_is_silent():
    pair = Pair()
    started = pair.frames(SETTLE + COUNT * INTERVAL * pair.tick)
    assert by_network(started) == announcements(0, COUNT)
    assert pair.counted(1, "egress_announcements", "egress_frames", "announcer_announcements") == [0, 0, 0]
    pair.sim.kill(0)
    taken = pair.frames(SETTLE + COUNT * INTERVAL * pair.tick)
    assert by_network(taken) == announcements(1, COUNT)
    assert pair.counted(1, "egress_announcements", "egress_announcements_suppressed") == [4 * COUNT, 0]
    pair.sim.revive(0)
    assert pair.frames(2 * SETTLE) == [], "a unit that joins is silent"
    assert pair.counted(0, "joined", "announcer_announcements") == [1, 0]
    pair.sim.write(1, "announce_count", 1)
    pair.sim.write(0, "announce_count", 1)
    pair.sim.kill(1)
    assert by_network(pair.frames(SETTLE)) == announcements(0, 1)


def test_a_unit_made_active_by_force_announces_itself():
    pair = Pair()
    pair.frames(SETTLE + COUNT * INTERVAL * pair.tick)
    pair.sim.write(1, "detector", 1)
    assert by_network(pair.frames(SETTLE + COUNT * INTERVAL * pair.tick)) == announcements(1, COUNT)


def test_no_announcements_when_there_are_to_be_none():
    pair = Pair(announce_count=0)
    assert pair.frames(SETTLE) == []
    pair.sim.kill(0)
    assert pair.frames(SETTLE) == [] and pair.counted(1, "active") == [1]
