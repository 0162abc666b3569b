"""Egress, cores and clock around the neighbour table, and its model."""
import os
import random

from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.event import Event
from spps.layouts.neighbour import HopAnswer, HopQuery, Learned
from spps.neighbour import NeighbourTable
from spps_sim.model.neighbour import NeighbourModel, Request
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed

ENTRIES = int(os.environ["SPPS_P_ENTRIES"])
BROKEN = bool(os.environ.get("SPPS_P_BROKEN"))
WAYS = 4
#: clocks in which every entry is looked at, and what was heard or noted before is done
ROUND = 8 * ENTRIES + 60
VIPS = 0x0A000001, 0x0A010001
AGE, INTERVAL, RETRIES, HOLDOFF = 40, 7, 3, 20
TIMES = {"arp_age": AGE, "arp_interval": INTERVAL, "arp_retries": RETRIES, "arp_holdoff": HOLDOFF}
TICK_MASK = (1 << 32) - 1


def place(network, ip):
    """Number of the set of an address: its network, and the exclusive or of parts of the address."""
    bits = (ENTRIES // WAYS // 2).bit_length() - 1
    folded = 0
    while ip:
        folded ^= ip & (1 << bits) - 1
        ip >>= bits
    return network, folded


class Env:
    """The table and its model get the same; `compare` waits until both have done what they can.

    registers: of the table. now: first tick. pause: of the cores that take requests.
    """

    def __init__(self, dut, registers, now, pause=0.0):
        self.dut, self.rng, self.now = dut, random.Random(default_seed()), now
        self.queries = StreamSource(dut, "i_query", dut.clk, layout=HopQuery)
        self.answers = StreamSink(dut, "o_answer", dut.clk, layout=HopAnswer, rng=random.Random(1))
        self.learns = StreamSource(dut, "i_learn", dut.clk, layout=Learned)
        self.events = StreamSink(dut, "o_event", dut.clk, layout=Event, pause=pause, rng=random.Random(2))
        self.counters = CounterMonitor(dut, dut.clk, NeighbourTable.COUNTERS)
        self.model = NeighbourModel(VIPS, registers, now)
        self.requests = []
        dut.vip.value = VIPS[0] | VIPS[1] << 32
        dut.active.value = 1
        dut.now.value = now & TICK_MASK
        self.registers(**self.model.registers)

    def registers(self, **values):
        self.model.registers |= values
        for name, value in values.items():
            getattr(self.dut, f"config__{name}").value = value

    def set_active(self, active):
        self.dut.active.value, self.model.active = active, bool(active)

    def learn(self, network, ip, mac, create=1):
        self.learns.send({"argument": {"mac_hi": mac >> 32, "iface": network, "create": create},
                          "body": {"mac_lo": mac & 0xFFFFFFFF, "ip": ip}})

    async def heard(self, network, ip, mac, create=1):
        self.learn(network, ip, mac, create)
        self.model.learn(network, ip, mac, create)
        await self.compare()

    async def ask(self, network, ip):
        """MAC address for a frame to `ip`, or None."""
        self.queries.send({"iface": network, "ip": ip})
        while not self.answers.received:
            await RisingEdge(self.dut.clk)
        answer = self.answers.received.popleft()
        return answer["mac"] if answer["found"] else None

    async def frame(self, network, ip):
        """Ask; the model must say the same."""
        expected = self.model.query(network, ip)
        assert await self.ask(network, ip) == expected
        await self.compare()
        return expected

    async def pass_time(self, ticks=1):
        for _ in range(ticks):
            self.now += 1
            self.dut.now.value = self.now & TICK_MASK
            await self.compare()

    def taken(self):
        """Requests that the cores have got since the last call."""
        taken = []
        while self.events.received:
            event = self.events.received.popleft()
            assert (event["kind"], event["subtype"]) == (2, 0) and event["dst_ip"] == VIPS[event["iface"]]
            taken.append(Request(event["iface"], event["src_ip"], event["src_mac_hi"] << 32 | event["src_mac_lo"]))
        return taken

    async def compare(self):
        """The table is left alone until it has nothing more to do; then it must be where the model is."""
        await ClockCycles(self.dut.clk, ROUND)
        expected = self.model.advance(self.now)
        found = self.taken()
        for _ in range(len(expected)):      # each request waits for the round after the one before
            if len(found) < len(expected):
                await ClockCycles(self.dut.clk, ROUND)
                found += self.taken()
        assert sorted(found) == sorted(expected), f"tick {self.now}: {found} instead of {expected}"
        self.requests += found
        assert int(self.dut.known.value) == self.model.known

    def finish(self):
        total = {name: number for name, number in self.counters.total.items() if number}
        expected = {name: number for name, number in self.model.count.items() if number}
        assert total == expected
        self.dut._log.info("seed %d: %s", default_seed(), total)


async def start(dut, registers=None, now=1000, pause=0.0):
    start_clock(dut)
    env = Env(dut, TIMES | (registers or {}), now, pause)
    await reset(dut)
    await ClockCycles(dut.clk, ENTRIES + 2)
    return env
