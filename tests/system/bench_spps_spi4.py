"""cocotb bench of one SPPS through its SPI-4 pins: every word in and out, a Python host on each network."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time

from spps.gen import preset_params
from spps.layouts.register import RegisterRequest
from spps.mmc import register_addresses
from spps_sim.model.spi4 import Receiver, bursts_of
from spps_sim.peers import Endpoint, TcpConfig
from spps_sim.peers.frames import ip_number
from spps_sim.testbench.bus.spi4 import Spi4Driver, Spi4Monitor
from spps_sim.testbench.bus.stream import pack, reset, start_clock

PARAMS = preset_params("tiny", int(os.environ["SPPS_P_WIDTH"]))
SEED = int(os.environ["SPPS_SEED"])
OURS, HOSTS = ("10.3.0.1", "10.4.0.1"), ("10.3.0.2", "10.4.0.2")
BURST = 64
SATISFIED = 2


class Bench:
    """An SPPS in endpoint mode without a standby, and a host behind ports 0 and 1 of its SPI-4 interface."""

    def __init__(self, dut, *, busy, gaps):
        self.dut, self.rng = dut, random.Random(SEED)
        self.busy = busy                # probability that the PHY says satisfied
        self.arrived = Receiver(PARAMS.ports, PARAMS.max_frame)
        self.taken = dict.fromkeys((0, 1), 0)
        self.sent = 0
        start_clock(dut)
        dut.enable.value, dut.unit.value, dut.detector.value, dut.role_init.value = 1, 0, 0, 1
        for name in ("i_sync", "i_mmc"):
            getattr(dut, f"{name}__valid").value = 0
            getattr(dut, f"{name}__payload").value = 0
        dut.o_sync__ready.value = dut.o_mmc__ready.value = 1
        dut.status_i.value = 0
        self.driver = Spi4Driver(dut, "i_spi4", dut.clk, width=PARAMS.data_width, satisfied=self._satisfied, gaps=gaps,
                                 rng=random.Random(SEED))
        Spi4Monitor(dut, "o_spi4", dut.clk, width=PARAMS.data_width, callback=lambda item: self.arrived.put(*item))
        config = TcpConfig(mss=536, rto_initial=40_000, rto_min=20_000)
        self.hosts = [Endpoint(f"host {n}", f"02:00:00:00:00:1{n}", HOSTS[n], config, SEED) for n in (0, 1)]
        for port, host in enumerate(self.hosts):
            host.attach(lambda data, port=port: self._send(port, data), self._now)

    @staticmethod
    def _now():
        return int(get_sim_time("ns")) // 10

    def _satisfied(self, port):
        return int(self.dut.status_o.value) >> 2 * port & 3 == SATISFIED

    def _send(self, port, data):
        self.sent += 1
        for burst in bursts_of(data, port, BURST):
            self.driver.send_burst(burst)

    async def write(self, values):
        """Registers by name, with or without the prefix of configuration words."""
        addresses, edge = register_addresses(PARAMS), RisingEdge(self.dut.clk)
        for name, value in values.items():
            address = addresses.get(name, addresses.get(f"cfg_{name}"))
            self.dut.i_mmc__payload.value = pack(RegisterRequest, {"address": address, "data": value, "write": 1})
            self.dut.i_mmc__valid.value = 1
            taken = 0
            while not taken:
                await ReadOnly()
                taken = int(self.dut.i_mmc__ready.value)
                await edge
            self.dut.i_mmc__valid.value = 0
            await ClockCycles(self.dut.clk, 8)

    async def read(self, name):
        edge = RisingEdge(self.dut.clk)
        self.dut.i_mmc__payload.value = pack(RegisterRequest,
                                             {"address": register_addresses(PARAMS)[name], "data": 0, "write": 0})
        self.dut.i_mmc__valid.value = 1
        while True:
            await ReadOnly()
            taken, answered = int(self.dut.i_mmc__ready.value), int(self.dut.o_mmc__valid.value)
            answer = int(self.dut.o_mmc__payload.value) if answered else None
            await edge
            if taken:
                self.dut.i_mmc__valid.value = 0
            if answered:
                return answer

    async def start(self):
        await reset(self.dut)
        self.dut._log.info("seed %d", SEED)
        await self.write({"mode": 0, "vip_0": ip_number(OURS[0]), "vip_1": ip_number(OURS[1]), "mss": 536,
                          "tick_cycles": 100, "rto_initial": 400, "rto_min": 200, "msl": 100, "policy": 1, "grant": 1,
                          "hb_interval": 0})
        await ClockCycles(self.dut.clk, 3000)       # table sweep

    async def until(self, done, limit=60_000):
        """Run both hosts until done(); fails after `limit` clocks."""
        end = self._now() + limit
        while not done():
            await ClockCycles(self.dut.clk, 40)
            assert self._now() < end, "never happened"
            if self.rng.random() < 0.1:
                self.dut.status_i.value = sum(SATISFIED << 2 * n
                                              for n in range(PARAMS.ports) if self.rng.random() < self.busy)
            for port, host in enumerate(self.hosts):
                for octets, err in self.arrived.packets[port][self.taken[port]:]:
                    assert not err, "a frame of ours is damaged"
                    self.taken[port] += 1
                    host.receive(octets)
                if host.deadline() is not None and host.deadline() <= self._now():
                    host.tick()

    async def finish(self):
        """Nothing is left inside, every frame that came in was an event, no SPI-4 rule was broken on the way out."""
        self.dut.status_i.value = 0
        await self.until(self.driver.empty)
        await ClockCycles(self.dut.clk, 2000)
        found = {name: await self.read(name)
                 for name in ("sink_packets", "free_pages", "in_use", "gate_level", "event_level", "splitter_events")}
        assert found == {"sink_packets": self.sent, "free_pages": PARAMS.scratch_pages, "in_use": 0, "gate_level": 0,
                         "event_level": 0, "splitter_events": self.sent}
        assert set(+self.arrived.count) <= {"packets"}, +self.arrived.count
        for host in self.hosts:
            assert not host.problems and not host.arp.changes


@cocotb.test()
async def answers_arp_resets_closed_ports_and_echoes(dut):
    """On both networks at once, with a PHY that is often satisfied."""
    bench = Bench(dut, busy=0.3, gaps=0.05)
    await bench.start()
    data = [random.Random(n).randbytes(2500 - 1111 * n) for n in (0, 1)]

    closed = [host.connect(OURS[n], 8) for n, host in enumerate(bench.hosts)]
    await bench.until(lambda: all(c.was("refused") for c in closed))
    for n, host in enumerate(bench.hosts):
        assert list(host.arp.known) == [ip_number(OURS[n])], "ARP has answered"

    def talk(connection, what):
        if what == "established":
            connection.write(data[connection.number])
            connection.close()

    echoed = []
    for n, host in enumerate(bench.hosts):
        connection = host.connect(OURS[n], 7, on_event=lambda c, what: talk(c, what))
        connection.number = n
        echoed.append(connection)
    await bench.until(lambda: all(c.finished for c in echoed))
    for connection, expected in zip(echoed, data):
        assert bytes(connection.received) == expected and len(connection.fin_numbers) == 1
        assert not connection.counters["timeouts"], "nothing got lost"
    await bench.finish()
