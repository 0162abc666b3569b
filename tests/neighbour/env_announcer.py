"""Role, clock and egress around the announcer, and its model."""
import os
import random
from collections import Counter

from cocotb.triggers import ClockCycles
from scapy.layers.l2 import ARP, Ether

from spps.layouts.packet import packet_layout
from spps.neighbour import Announcer
from spps_sim.model.announcer import AnnouncerModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector
from spps_sim.testbench.bus.stream import StreamSink, reset, start_clock
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ["SPPS_P_WIDTH"])
MAC = bytes.fromhex("02005e5d5001")
VIPS = 0x0A000001, 0xC0A80102
COUNT, INTERVAL = 3, 7
TICK_MASK = (1 << 32) - 1
#: clocks in which everything that is due has left, however slow egress is
ROUND = 600


def judge(port, frame):
    """What scapy makes of a frame is what RFC 5227 and RFC 5944 want of gratuitous ARP; returns (port, operation)."""
    ether, arp = Ether(frame), Ether(frame)[ARP]
    own = MAC.hex(":")
    assert (ether.dst, ether.src, ether.type, len(frame)) == ("ff:ff:ff:ff:ff:ff", own, 0x0806, 60)
    assert (arp.hwtype, arp.ptype, arp.hwlen, arp.plen) == (1, 0x0800, 6, 4) and arp.op in (1, 2)
    assert arp.psrc == arp.pdst and arp.hwsrc == own and not any(frame[42:])
    assert arp.hwdst == (own if arp.op == 2 else "00:00:00:00:00:00")
    return port, arp.op


class Env:
    """The announcer and its model get the same; `compare` waits until both have done what they can."""

    def __init__(self, dut, *, count=COUNT, interval=INTERVAL, now=0, pause=0.0):
        self.dut, self.rng = dut, random.Random(default_seed())
        self.model = AnnouncerModel(MAC, count, interval)
        self.model.now = now
        self.frames, self.judged = [], Counter()
        dut.mac.value = int.from_bytes(MAC, "big")
        dut.config__announce_count.value, dut.config__announce_interval.value = count, interval
        dut.vip.value = dut.active.value = dut.enable.value = 0
        dut.now.value = now & TICK_MASK
        self.sink = StreamSink(dut, "o", dut.clk, layout=packet_layout(WIDTH), pause=pause,
                               rng=random.Random(self.rng.random()), callback=PacketCollector(WIDTH, self._left))

    @classmethod
    async def start(cls, dut, *, active=False, **options):
        """An Env around a block out of reset. active: already in the reset."""
        start_clock(dut)
        env = cls(dut, **options)
        if active:
            await env.set(active=True, compare=False)
        await reset(dut)
        env.total = CounterMonitor(dut, dut.clk, Announcer.COUNTERS).total
        return env

    def _left(self, port, frame, err):
        assert not err
        self.frames.append((port, bytes(frame)))

    async def set(self, *, active=None, enable=None, vips=None, ticks=0, compare=True):
        """Change inputs, then compare what has left with the model."""
        dut, model = self.dut, self.model
        if vips is not None:
            model.vips = list(vips)
            dut.vip.value = vips[0] | vips[1] << 32
        if enable is not None:
            model.enable = enable
            dut.enable.value = int(enable)
        if active is not None:
            model.set_active(active)
            dut.active.value = int(active)
        model.now += ticks
        dut.now.value = model.now & TICK_MASK
        if compare:
            await self.compare()

    async def set_count(self, count):
        """Write announce_count."""
        self.model.count = count
        self.dut.config__announce_count.value = count
        await self.compare()

    async def compare(self):
        """Everything that is due leaves, and nothing else."""
        await ClockCycles(self.dut.clk, ROUND)
        expected, found, self.frames = self.model.due(), self.frames, []
        for network in (0, 1):
            assert [f for f in found if f[0] == network] == [f for f in expected if f[0] == network], (
                f"tick {self.model.now}: {found} instead of {expected}")
        assert len(found) == len(expected)
        self.judged.update(judge(*frame) for frame in found)
        assert self.total["announcements"] == self.judged.total()
