"""Management and control: the host's view of everything."""
from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..failover.signature import FailoverConfig, FailoverStatus
from ..layouts.config import CONFIG, CONFIG_DIRECT, CONFIG_INDEX, ConfigWord
from ..layouts.dma import FlowstateWord
from ..layouts.register import InstructionWrite, RegisterRequest
from ..lib import Counters
from .counter_file import CounterFile
from .register_table import RegisterTable
from .registers import (
    CONTROL,
    COUNTER_BASE,
    STATUS,
    WINDOW_BASE,
    core_status,
    register_map,
)

__all__ = ["Mmc", "UNKNOWN"]

UNKNOWN = 0xDEADBEEF    # what an address without a register reads


class Mmc(wiring.Component):
    """Registers behind one request stream: configuration, status, counters, and a window into instruction memory.

    Source: patent F7 (MMC 772), §X.A; `mmc.registers`.
    Parameters: params; counters: [(block, names)], one register each; status: further `ro` registers.
    Members:
        i: requests. o: one word per read, in order; writes are not answered.
        count_<block>: In, the pulses of that block's COUNTERS. failover: Out, failover_status: In, see `failover.signature`. One member per other register of CONTROL (Out) and STATUS (In).
        cfg: Out, one word of CONFIG after the other; cfg_<name>: Out, those of CONFIG_DIRECT, at all times.
        masks: Out, event types per core. o_imem: instruction words. o_flowstate: a word of flowstate memory is wanted; i_flowstate: that word,
        taken in the clock in which it comes.
    Latency: 5 clocks; a counter up to one sweep of all counters more; a word of CONFIG 32 more to `cfg`. Throughput: one request at a time.
    Backpressure: `i` waits for the answer to be taken, for `o_imem`, and for the word of flowstate memory.
    Drop: accesses to no register, or the wrong way (counted, bad_address). Reset: the map's reset values.
    """

    COUNTERS = Counters({"bad_address": "reads of an address without a register, writes to one that cannot be written"})

    def __init__(self, params, counters, status=()):
        self.params = params
        self.blocks = [("mmc", self.COUNTERS), *counters]
        self.map = register_map(params, self.blocks, status)
        self.status = (*STATUS, *core_status(params), *status)
        super().__init__({
            "i": In(stream.Signature(RegisterRequest)), "o": Out(stream.Signature(32)),
            "o_imem": Out(stream.Signature(InstructionWrite)),
            "o_flowstate": Out(stream.Signature(FlowstateWord)), "i_flowstate": In(stream.Signature(32, always_ready=True)),
            "cfg": Out(ConfigWord), **{f"cfg_{name}": Out(32, init=CONFIG[CONFIG_INDEX[name]].reset) for name in CONFIG_DIRECT},
            "masks": Out(data.ArrayLayout(unsigned(16), params.total_cores)),
            "failover": Out(FailoverConfig()), "failover_status": In(FailoverStatus()),
            **{r.name: Out(r.width) for r in CONTROL if r.member is None},
            **{r.name: In(r.width) for r in self.status if r.member is None},
            **{f"count_{block}": In(len(names)) for block, names in self.blocks[1:]},
        })

    def elaborate(self, platform):
        m = Module()
        counters = self.map.of("counter")
        m.submodules.counters = file = CounterFile(len(counters))
        self.bad = Signal()
        self.request = request = Signal(RegisterRequest)
        self.write_now = Signal()       # one clock: the request in hand is a write to a plain register
        m.d.comb += [
            file.pulse.eq(Cat(self.bad, *[getattr(self, f"count_{block}") for block, _ in self.blocks[1:]])),
            file.select.eq(request.address[2:] - COUNTER_BASE // 4),
        ]
        m.submodules.table = self.table = table = RegisterTable({
            address: (r.reset if r.access == "rw" else 0, (1 << r.width) - 1) for address, r in self.map.of("rw", "pulse")})
        stored = Signal()               # the register is one of the table
        m.d.comb += [table.address.eq(request.address), table.data.eq(request.data), stored.eq(table.mask.any()), self.cfg.eq(table.cfg)]
        known, value = self._read(m)
        pulse = self._write(m)
        self._show_config(m)
        is_counter, is_window, is_fetch = Signal(), Signal(), Signal()
        imem = self.o_imem.payload
        place = self.o_flowstate.payload
        window = {r.name: a for a, r in self.map.of("window")}
        m.d.sync += [
            self.bad.eq(0),
            is_counter.eq((request.address >= COUNTER_BASE) & (request.address < COUNTER_BASE + 4 * len(counters))
                          & (request.address[:2] == 0)),
            is_window.eq((request.address >= WINDOW_BASE) & (request.address < WINDOW_BASE + 4 * len(window))
                         & (request.address[:2] == 0)),
            is_fetch.eq(request.address == self.map.by_name["flowstate_data"]),
        ]
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(table.ready)
                m.d.sync += request.eq(self.i.payload)
                with m.If(self.i.valid & table.ready):
                    m.next = "LOOK"
            with m.State("LOOK"):       # known, value, is_... are registered
                m.d.comb += table.look.eq(1)
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += table.read.eq(1)
                m.next = "ACT"
            with m.State("ACT"):
                with m.If(is_counter):
                    m.d.comb += [file.read.eq(~request.write), file.clear.eq(request.write)]
                    with m.If(file.done):
                        m.d.sync += self.o.payload.eq(file.value)
                        with m.If(request.write):
                            m.next = "TAKE"
                        with m.Else():
                            m.next = "ANSWER"
                with m.Elif(is_window & request.write):
                    m.next = "TAKE"
                    with m.Switch(request.address[2:4]):
                        with m.Case(window["imem_address"] >> 2 & 3):
                            m.d.sync += Cat(imem.address, imem.cluster).eq(request.data)
                        with m.Case(window["imem_high"] >> 2 & 3):
                            m.d.sync += imem.data[32:].eq(request.data)
                        with m.Case(window["imem_low"] >> 2 & 3):
                            m.d.sync += imem.data[:32].eq(request.data)
                            m.next = "STORE"
                        with m.Case(window["flowstate_address"] >> 2 & 3):
                            m.d.sync += place.eq(request.data)
                with m.Elif(is_fetch & ~request.write):
                    m.next = "ASK"
                with m.Elif(request.write):
                    m.d.comb += [self.write_now.eq(1), table.write.eq(stored & ~pulse)]
                    m.d.sync += self.bad.eq(~stored)
                    m.next = "TAKE"
                with m.Else():
                    m.d.sync += [self.o.payload.eq(Mux(stored, table.value, value)), self.bad.eq(~stored & ~known)]
                    m.next = "ANSWER"
            with m.State("STORE"):
                m.d.comb += self.o_imem.valid.eq(1)
                with m.If(self.o_imem.ready):
                    m.d.sync += imem.address.eq(imem.address + 1)
                    m.next = "TAKE"
            with m.State("ASK"):
                m.d.comb += self.o_flowstate.valid.eq(1)
                with m.If(self.o_flowstate.ready):
                    m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(self.i_flowstate.valid):
                    m.d.sync += [self.o.payload.eq(self.i_flowstate.payload), Value.cast(place).eq(Value.cast(place) + 1)]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "TAKE"
        return m

    def _port(self, register):
        if register.member is None:
            return getattr(self, register.name)
        name, index = register.member
        group = getattr(self, name)
        return getattr(group, index) if isinstance(index, str) else group[index]

    def _read(self, m):
        """Value of a register that is not in the table, one clock after its address."""
        known, value = Signal(), Signal(32, init=UNKNOWN)
        imem = self.o_imem.payload
        m.d.sync += [known.eq(0), value.eq(UNKNOWN)]
        with m.Switch(self.request.address):
            for address, register in self.map.of("ro", "const", "window"):
                with m.Case(address):
                    if register.access == "const":
                        shown = register.reset
                    elif register.access == "window":
                        shown = {"imem_address": Cat(imem.address, imem.cluster), "imem_high": imem.data[32:],
                                 "imem_low": imem.data[:32], "flowstate_address": self.o_flowstate.payload}[register.name]
                    else:
                        shown = self._port(register)
                    m.d.sync += [known.eq(1), value.eq(shown)]
        return known, value

    def _write(self, m):
        """The ports of registers and pulses; says whether the register in hand is a pulse. CONFIG is in the table only."""
        pulse = Signal()
        for address, register in self.map.of("rw", "pulse"):
            if register.member and register.member[0] == "cfg":
                continue
            held = Signal(register.width, init=register.reset if register.access == "rw" else 0, name=f"held_{register.name}")
            hit = Signal(name=f"hit_{register.name}")
            m.d.comb += self._port(register).eq(held)
            m.d.sync += hit.eq(self.request.address == address)
            if register.access == "pulse":
                m.d.sync += held.eq(0)
                with m.If(hit):
                    m.d.comb += pulse.eq(1)
            with m.If(hit & self.write_now):
                m.d.sync += held.eq(self.request.data[:register.width])
        return pulse

    def _show_config(self, m):
        for name in CONFIG_DIRECT:
            with m.If(self.cfg.valid & (self.cfg.index == CONFIG_INDEX[name])):
                m.d.sync += getattr(self, f"cfg_{name}").eq(self.cfg.value)
