"""Management and control: the host's view of everything."""
from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..failover.signature import FailoverConfig, FailoverStatus
from ..layouts.config import CONFIG, CONFIG_DIRECT, CONFIG_INDEX, ConfigWord
from ..layouts.dma import FlowstateWord
from ..layouts.headers import VLAN_ID_BITS
from ..layouts.register import InstructionWrite, RegisterRequest
from ..lib import Counters
from ..neighbour.signature import AnnounceConfig, NeighbourConfig
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
    """Registers behind a stream of requests: configuration, status, counters, windows into memories.

    The windows lead to instruction memory and flowstate memory.

    Parameters
    ----------
    params : SppsParams
        Sizes.
    counters : list of (str, Counters)
        Blocks that count; one register `<block>_<name>` per counter.
    status : tuple of Register
        Further registers that can be read.

    Members
    -------
    i : In(stream(RegisterRequest))
        Reads and writes.
    o : Out(stream(32))
        One word per read, in order. Writes are not answered.
    o_imem : Out(stream(InstructionWrite))
        Words for instruction memory.
    o_flowstate : Out(stream(FlowstateWord))
        The place of a word of flowstate memory that is wanted.
    i_flowstate : In(stream(32), always ready)
        That word.
    cfg : Out(ConfigWord)
        The words of CONFIG, one after the other.
    cfg_<name> : Out(32)
        Those of CONFIG_DIRECT, at all times.
    masks : Out(ArrayLayout(16, total_cores))
        Event types that each core takes.
    vlan : Out(ArrayLayout(12, ports))
        VLAN identifier of each network.
    failover, failover_status : Out(FailoverConfig), In(FailoverStatus)
        Registers of the failover unit.
    neighbour : Out(NeighbourConfig)
        Registers of the neighbour table.
    announcer : Out(AnnounceConfig)
        Registers of the announcer.
    <name> : Out or In
        One member per other register of CONTROL (Out) and STATUS (In), with its width.
    count_<block> : In(COUNTERS of the block)
        One pulse per occurrence.

    Timing
    ------
    Latency 5 clocks; a counter takes up to one sweep of all counters more, a word of CONFIG shows on `cfg` up to
    `len(CONFIG)` clocks later. Throughput one request at a time. `i` waits until the answer is taken, for `o_imem`,
    and for the word of flowstate memory.

    Drop
    ----
    Accesses to an address without a register, and writes to a register that cannot be written; counted.

    Reset
    -----
    The reset values of the map.

    Source
    ------
    Patent F7 (MMC 772), §X.A; `mmc.registers`.
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
            "o_flowstate": Out(stream.Signature(FlowstateWord)),
            "i_flowstate": In(stream.Signature(32, always_ready=True)),
            "cfg": Out(ConfigWord),
            **{f"cfg_{name}": Out(32, init=CONFIG[CONFIG_INDEX[name]].reset) for name in CONFIG_DIRECT},
            "masks": Out(data.ArrayLayout(unsigned(16), params.total_cores)),
            "vlan": Out(data.ArrayLayout(VLAN_ID_BITS, params.ports)),
            "failover": Out(FailoverConfig()), "failover_status": In(FailoverStatus()),
            "neighbour": Out(NeighbourConfig()), "announcer": Out(AnnounceConfig()),
            **{r.name: Out(r.width) for r in CONTROL if r.member is None},
            **{r.name: In(r.width) for r in self.status if r.member is None},
            **{f"count_{block}": In(counted.layout) for block, counted in self.blocks[1:]},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counters = file = CounterFile(len(self.map.of("counter")))
        self.bad = Signal()
        self.request = request = Signal(RegisterRequest)
        self.write_now = Signal()       # one clock: the request in hand is a write to a plain register
        m.d.comb += [
            file.pulse.eq(Cat(self.bad, *[getattr(self, f"count_{block}") for block, _ in self.blocks[1:]])),
            file.select.eq(request.address[2:] - COUNTER_BASE // 4),
        ]
        m.submodules.table = table = RegisterTable({
            address: (r.reset if r.access == "rw" else 0, (1 << r.width) - 1) for address,
            r in self.map.of("rw", "pulse")})
        m.d.comb += [table.address.eq(request.address), table.data.eq(request.data), self.cfg.eq(table.cfg)]
        self._show_config(m)
        known, value = self._read(m)
        pulse, key = self._write(m)
        is_counter, is_window, is_fetch = self._kind(m)
        stored = Signal()               # the register is one of the table
        m.d.comb += stored.eq(table.mask.any())
        m.d.sync += self.bad.eq(0)
        with m.FSM():
            self._take(m, table)
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
                    self._write_window(m)
                with m.Elif(is_fetch & ~request.write):
                    m.next = "ASK"
                with m.Elif(request.write):
                    m.d.comb += [self.write_now.eq(1), table.write.eq(stored & ~pulse)]
                    m.d.sync += self.bad.eq(~stored & ~key)
                    m.next = "TAKE"
                with m.Else():
                    m.d.sync += [self.o.payload.eq(Mux(stored, table.value, value)), self.bad.eq(~stored & ~known)]
                    m.next = "ANSWER"
            self._ask(m)
            with m.State("ANSWER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "TAKE"
        return m

    def _take(self, m, table):
        """States that take a request and look it up."""
        with m.State("TAKE"):
            m.d.comb += self.i.ready.eq(table.ready)
            m.d.sync += self.request.eq(self.i.payload)
            with m.If(self.i.valid & table.ready):
                m.next = "LOOK"
        with m.State("LOOK"):       # what ACT decides on is registered
            m.d.comb += table.look.eq(1)
            m.next = "READ"
        with m.State("READ"):
            m.d.comb += table.read.eq(1)
            m.next = "ACT"

    def _kind(self, m):
        """Return whether the register in hand is a counter, part of a window, and the one that fetches a word.

        The answers come one clock after the address.
        """
        address = self.request.address
        counters, windows = len(self.map.of("counter")), len(self.map.of("window"))
        is_counter, is_window, is_fetch = Signal(), Signal(), Signal()
        m.d.sync += [
            is_counter.eq((address >= COUNTER_BASE) & (address < COUNTER_BASE + 4 * counters) & (address[:2] == 0)),
            is_window.eq((address >= WINDOW_BASE) & (address < WINDOW_BASE + 4 * windows) & (address[:2] == 0)),
            is_fetch.eq(address == self.map.by_name["flowstate_data"]),
        ]
        return is_counter, is_window, is_fetch

    def _write_window(self, m):
        """Write a register of a window; the low half of an instruction word also stores the word."""
        imem, data_in = self.o_imem.payload, self.request.data
        window = {r.name: a for a, r in self.map.of("window")}
        with m.Switch(self.request.address[2:4]):
            with m.Case(window["imem_address"] >> 2 & 3):
                m.d.sync += Cat(imem.address, imem.cluster).eq(data_in)
            with m.Case(window["imem_high"] >> 2 & 3):
                m.d.sync += imem.data[32:].eq(data_in)
            with m.Case(window["imem_low"] >> 2 & 3):
                m.d.sync += imem.data[:32].eq(data_in)
                m.next = "STORE"
            with m.Case(window["flowstate_address"] >> 2 & 3):
                m.d.sync += self.o_flowstate.payload.eq(data_in)

    def _ask(self, m):
        """States that hand an instruction word over, and that fetch a word of flowstate memory."""
        imem, place = self.o_imem.payload, Value.cast(self.o_flowstate.payload)
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
                m.d.sync += [self.o.payload.eq(self.i_flowstate.payload), place.eq(place + 1)]
                m.next = "ANSWER"

    def _port(self, register):
        """Return the member that a register drives or shows."""
        if register.member is None:
            return getattr(self, register.name)
        name, index = register.member
        group = getattr(self, name)
        return getattr(group, index) if isinstance(index, str) else group[index]

    def _read(self, m):
        """Look up a register that is not in the table; returns (it exists, its value), one clock after its address."""
        known, value = Signal(), Signal(32, init=UNKNOWN)
        imem = self.o_imem.payload
        m.d.sync += [known.eq(0), value.eq(UNKNOWN)]
        with m.Switch(self.request.address):
            for address, register in self.map.of("ro", "const", "window", "wo"):
                with m.Case(address):
                    if register.access == "const":
                        shown = register.reset
                    elif register.access == "wo":
                        shown = 0
                    elif register.access == "window":
                        shown = {"imem_address": Cat(imem.address, imem.cluster), "imem_high": imem.data[32:],
                                 "imem_low": imem.data[:32],
                                 "flowstate_address": self.o_flowstate.payload}[register.name]
                    else:
                        shown = self._port(register)
                    m.d.sync += [known.eq(1), value.eq(shown)]
        return known, value

    def _write(self, m):
        """Drive the members of registers and pulses; returns whether the register in hand is a pulse, and a key.

        Words of CONFIG are left out: the table shows them.
        """
        pulse, key = Signal(), Signal()
        for address, register in self.map.of("rw", "pulse", "wo"):
            if register.member and register.member[0] == "cfg":
                continue
            held = Signal(register.width, init=register.reset if register.access == "rw" else 0,
                          name=f"held_{register.name}")
            hit = Signal(name=f"hit_{register.name}")
            m.d.comb += self._port(register).eq(held)
            m.d.sync += hit.eq(self.request.address == address)
            if register.access == "pulse":
                m.d.sync += held.eq(0)
                with m.If(hit):
                    m.d.comb += pulse.eq(1)
            elif register.access == "wo":
                with m.If(hit):
                    m.d.comb += key.eq(1)
            with m.If(hit & self.write_now):
                m.d.sync += held.eq(self.request.data[:register.width])
        return pulse, key

    def _show_config(self, m):
        """Keep the words of CONFIG_DIRECT in registers."""
        for name in CONFIG_DIRECT:
            with m.If(self.cfg.valid & (self.cfg.index == CONFIG_INDEX[name])):
                m.d.sync += getattr(self, f"cfg_{name}").eq(self.cfg.value)
