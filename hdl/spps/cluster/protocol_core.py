"""Protocol core (PPC): a microprogrammed 32-bit core that runs one event at a time."""
from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import EndOperand
from ..layouts.message import beat_signature
from ..lib.counters import Counters
from ..ucode.isa import BASE_BITS, PC_BITS, REGISTERS, TrapCode
from .alu import Alu
from .base_file import BaseFile
from .decoder import Control, Decoder, field_of, operand_of
from .fetch_unit import FetchUnit
from .message_port import MessagePort
from .ports import CoreMemoryPort, CoreTrace, CsrPort, EventPort, FetchPort, map_of

__all__ = ["ProtocolCore", "RUNAWAY_BITS"]

RUNAWAY_BITS = 16
_IMM_BITS = 18      # everything an instruction has below its registers
_BEATS_BITS = 5     # of a `send`


class _Pipeline:
    """Signals that several stages of the core use. x_: of the instruction in execute. w_: of the one in write-back."""

    def __init__(self, bases):
        # event: one runs; the instruction before the one in execute trapped, so that only the end of the event is
        # left; it ends
        self.running, self.fault, self.finish = Signal(), Signal(), Signal()
        # execute: it has an instruction, which is ready to execute; it keeps it; it branches; it waits for operands
        # in write-back
        self.x_valid, self.live, self.stall, self.jump, self.missing = Signal(), Signal(), Signal(), Signal(), Signal()
        # operands that were not there in decode
        self.late_a, self.late_b, self.late_count = Signal(), Signal(), Signal()
        # the instruction is done; it traps; more instructions than `runaway` have been; its word or beat lies beyond
        # the memory
        self.done, self.bad, self.exhausted, self.beyond = Signal(), Signal(), Signal(), Signal()
        self.x, self.x_pc, self.x_rd, self.x_imm = Signal(Control), Signal(PC_BITS), Signal(4), Signal(_IMM_BITS)
        self.x_base, self.x_row = Signal(BASE_BITS), Signal.like(bases.row)
        self.x_count, self.x_stop = Signal(5), Signal(5)
        self.x_reach, self.x_after_first, self.x_stack_bad = Signal(BASE_BITS + 1), Signal(_BEATS_BITS), Signal()
        self.x_bit_low, self.x_bit_high, self.carry_in = Signal(4), Signal(8), Signal()
        self.a, self.b = Signal(32), Signal(32)
        self.location = Signal(BASE_BITS + 1)       # word address of a ld, st or send
        self.w_valid, self.w_load, self.w_odd, self.w_rd = Signal(), Signal(), Signal(), Signal(4)
        self.w_result, self.w_value = Signal(32), Signal(32)

    def field(self, format, name):
        """Return an operand of the instruction in execute."""
        return field_of(self.x_imm, operand_of(format, name))


class ProtocolCore(wiring.Component):
    """Fetch, decode, execute and a write-back register; one instruction per clock in straight-line code.

    Decode reads registers and bases and follows direct jumps; execute decides branches in time for the fetch of the
    target. A trapping instruction has no effect; the event ends with a DONE that says so, and the next event starts
    afresh.

    Parameters
    ----------
    params : SppsParams
        workspaces, event_slots, imem_words.

    Members
    -------
    program : Out(FetchPort)
        Instruction memory.
    events : In(EventPort)
        Queue of events.
    memory : Out(CoreMemoryPort)
        Data memory.
    csr : Out(CsrPort)
        CSR file.
    o : Out(stream of beats)
        Messages; `unit` is filled by the program or DONE, `source` and `cluster` are zero.
    store, store_address : Out(1), Out(range(words))
        A word was written, for DirtyLines.
    configured : In(1)
        The configuration words are there; no event starts before.
    runaway : In(16), instructions
        Most instructions of an event, 0: no limit.
    halt : In(1)
        Nothing runs; the event at work is cut off, and others are answered as after a trap.
    stuck : In(1)
        The core gets no instructions: an injected fault.
    busy, waiting : Out(1)
        An event runs; and it waits for `o`.
    trap_code, trap_pc : Out(8), Out(12)
        Of the last trap.
    count : Out, pulses
        COUNTERS.
    trace : Out(CoreTrace)
        For traces in simulation.

    Timing
    ------
    2 clocks from `take` to the first instruction executed; 1 clock from eoe to DONE, 2 to the next `take`. Throughput:
    see Clocks in README.md. A beat that `o` does not take holds up loads and `send`, a DONE that has not left `send`
    and the end of the next event.

    Reset
    -----
    Idle; registers and data memory keep whatever they hold.

    Source
    ------
    Patent §V; `ucode.isa`.
    """

    COUNTERS = Counters({
        "traps": "events ended by a trap or, at a fenced core, cut off",
        "cut_messages": "messages that a trap left open, closed with beats of zeros",
        "voided": "events answered as after a trap without being run",
        "released": "payloads released by the cluster because their event trapped or was not run",
    })

    def __init__(self, params):
        self._params = params
        self._map = map_of(params)
        memory_port = CoreMemoryPort(params)
        super().__init__({
            "program": Out(FetchPort(params)), "events": In(EventPort(params)), "memory": Out(memory_port),
            "csr": Out(CsrPort()),
            "o": Out(beat_signature()), "store": Out(1), "store_address": Out(memory_port.members["address"].shape),
            "configured": In(1), "runaway": In(RUNAWAY_BITS), "halt": In(1), "stuck": In(1),
            "busy": Out(1), "waiting": Out(1), "trap_code": Out(8), "trap_pc": Out(PC_BITS),
            "count": Out(self.COUNTERS.layout), "trace": Out(CoreTrace()),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch = self._fetch = FetchUnit(self._params)
        m.submodules.decoder = self._decoder = Decoder()
        m.submodules.bases = self._bases = BaseFile(self._params)
        m.submodules.alu = self._alu = Alu()
        m.submodules.port = self._port = MessagePort(self._params)
        wiring.connect(m, self._port.o, wiring.flipped(self.o))
        s = _Pipeline(self._bases)
        self._fetch_words(m, s)
        self._decode(m, s)
        self._execute(m, s)
        self._write_back(m, s)
        self._trap(m, s)
        self._run_events(m, s)
        return m

    def _fetch_words(self, m, s):
        fetch, decoder, program = self._fetch, self._decoder, self.program
        m.d.comb += [
            fetch.run.eq(self.events.take | (s.running & ~s.finish)), fetch.hold.eq(s.stall), fetch.jump.eq(s.jump),
            program.address.eq(fetch.address), program.fetch.eq(fetch.fetch),
            fetch.ready.eq(program.ready & ~self.stuck),
            fetch.direct.eq(decoder.jump), fetch.call.eq(decoder.call), fetch.ret.eq(decoder.ret),
            fetch.word_target.eq(field_of(program.word, operand_of("jump", "target"))),
        ]

    def _read_registers(self, m, s):
        """Operands a and b: from the register file, the result of execute, or the write-back register."""
        operands = []
        # r0 is never written and starts as zero.
        for name, number in (("a", self._decoder.ra), ("b", self._decoder.rb)):
            m.submodules[f"registers_{name}"] = file = memory.Memory(shape=32, depth=REGISTERS, init=[])
            write, read = file.write_port(), file.read_port(domain="comb")
            m.d.comb += [write.addr.eq(s.w_rd), write.data.eq(s.w_value), write.en.eq(s.w_valid), read.addr.eq(number)]
            operands.append(Mux(~s.missing & s.x_valid & s.x.write & (s.x_rd == number), self._alu.result,
                                Mux(s.missing | (s.w_valid & (s.w_rd == number)), s.w_value, read.data)))
        return operands

    def _decode(self, m, s):
        decoder, bases, fetch, word = self._decoder, self._bases, self._fetch, self.program.word
        operand_a, operand_b = self._read_registers(m, s)
        bit = field_of(word, operand_of("bit", "bit"))
        # A base plus `reach` carries out of BASE_BITS + 1 bits when a word, or the last of a `send`, lies beyond the
        # data memory.
        reach, after_first = Signal(BASE_BITS + 1), Signal(_BEATS_BITS)       # beats of a `send` after its first
        m.d.comb += [
            after_first.eq(field_of(word, operand_of("send", "beats")) - 1),
            reach.eq(field_of(word, operand_of("send", "offset")) + (1 << BASE_BITS + 1) - self._map.size
                     + Mux(decoder.control.send, Cat(1, after_first), 0)),
            decoder.word.eq(word), bases.index.eq(decoder.base),
        ]
        # The result of `ld`, `csr` and `getb` is there in write-back: an instruction right behind one of them waits
        # for it in execute,
        # where that is known early in the clock, and gets it through the operand multiplexers, which decode does not
        # use then.
        late, behind, from_a, from_b = s.late_a | s.late_b | s.late_count, Signal(), Signal(), Signal()
        m.d.comb += [
            s.missing.eq(s.x_valid & ~s.fault & late), s.live.eq(s.x_valid & ~s.fault & ~late),
            behind.eq(s.live & s.x.late & s.x.write),
            from_a.eq(decoder.reads_a & (decoder.ra == s.x_rd)), from_b.eq(decoder.reads_b & (decoder.rb == s.x_rd)),
        ]
        m.d.sync += [s.late_a.eq(0), s.late_b.eq(0), s.late_count.eq(0)]
        with m.If(~s.stall | (s.missing & s.late_a)):
            m.d.sync += s.a.eq(operand_a)
        with m.If(~s.stall | (s.missing & s.late_b)):
            m.d.sync += s.b.eq(Mux(decoder.use_immediate & ~s.missing, decoder.immediate,
                                   operand_b ^ Mux(s.missing, s.carry_in, decoder.subtract).replicate(32)))
        with m.If(~s.stall | (s.missing & s.late_count)):
            m.d.sync += s.x_count.eq(
                Mux(s.missing | decoder.by_register, operand_b[:5], field_of(word, operand_of("ins", "pos"))))
        with m.If(~s.stall):
            m.d.sync += [
                s.x_valid.eq(fetch.valid & ~s.jump & ~s.finish),
                s.late_a.eq(behind & from_a), s.late_b.eq(behind & from_b & ~decoder.by_register),
                s.late_count.eq(behind & from_b & decoder.by_register),
                s.x.eq(decoder.control), s.x_pc.eq(fetch.pc), s.x_rd.eq(decoder.rd), s.x_imm.eq(word[:_IMM_BITS]),
                s.x_base.eq(bases.value), s.x_row.eq(bases.row), s.x_reach.eq(reach),
                s.x_after_first.eq(after_first), s.x_stop.eq(decoder.stop), s.x_stack_bad.eq(fetch.stack_bad),
                s.carry_in.eq(decoder.subtract),
                s.x_bit_low.eq(Cat(bit[:2] == k for k in range(4))),
                s.x_bit_high.eq(Cat(bit[2:] == k for k in range(8))),
            ]

    def _execute(self, m, s):
        x, alu, port, bases, store = s.x, self._alu, self._port, self._bases, self.memory
        again = Signal()                        # oadd adds its carry
        m.d.comb += [
            alu.control.eq(x), alu.a.eq(s.a), alu.b.eq(s.b), alu.carry_in.eq(s.carry_in), alu.count.eq(s.x_count),
            alu.stop.eq(s.x_stop),
            alu.bit_low.eq(s.x_bit_low), alu.bit_high.eq(s.x_bit_high),
            s.location.eq(s.x_base + s.field("send", "offset")),
        ]
        m.d.sync += again.eq(s.live & x.oadd & ~again)
        with m.If(s.live & x.oadd & ~again):    # in its second clock carry_in is already that of the next instruction
            m.d.sync += s.carry_in.eq(alu.carry)

        blocked, bad_send = Signal(), Signal()      # the message bus holds the instruction; the `send` traps
        m.d.comb += [
            s.beyond.eq(x.bad_base | (s.x_base + s.x_reach)[BASE_BITS + 1]), bad_send.eq(s.beyond | s.location[0]),
            s.bad.eq(s.exhausted | x.trap | s.x_stack_bad | (x.bad_base & ~x.load & ~x.store & ~x.send)
                     | ((x.load | x.store) & s.beyond) | (x.send & bad_send) | (x.eoe & port.open)),
            blocked.eq((x.load & ~port.free) | (x.send & (~port.free | port.ending)) | (x.eoe & port.ending)),
            s.stall.eq(s.missing | (s.live & (blocked | (x.send & ~port.done) | (x.oadd & ~again)))),
            s.done.eq(s.live & ~s.stall),
            self.waiting.eq((s.live & blocked & ~s.bad) | (s.fault & port.ending)),
            port.send.eq(s.live & x.send), port.legal.eq(~s.exhausted & ~bad_send), port.location.eq(s.location[1:]),
            port.after_first.eq(s.x_after_first), port.more.eq(s.field("send", "more")),
            port.memory_data.eq(store.read_data),
            store.address.eq(Mux(x.send, Cat(C(0, 1), port.address), s.location)), store.read.eq(port.free),
            store.uses_read.eq(port.hold | (s.live & (x.load | x.send))), store.uses_write.eq(s.live & x.store),
            store.write.eq(s.live & x.store & ~s.exhausted & ~s.beyond), store.write_data.eq(s.b),
            bases.event.eq(self.events.event), bases.slot.eq(self.events.slot), bases.idle.eq(~s.running),
            bases.set.eq(s.live & x.setb), bases.set_row.eq(s.x_row), bases.set_value.eq(s.a[:BASE_BITS]),
            bases.swap.eq(s.live & x.swap),
            self._fetch.target.eq(Mux(x.jtab, alu.sum[:PC_BITS], s.field("jump", "target"))),
            s.jump.eq((s.live & (x.jtab | (x.branch & alu.met))) | (s.live & x.branch & x.compare & alu.met_late)),
            self.csr.number.eq(s.field("csr", "csr")),
        ]
        m.d.sync += [self.store.eq(store.write), self.store_address.eq(s.location)]

    def _write_back(self, m, s):
        x, trace = s.x, self.trace
        m.d.sync += [
            s.w_valid.eq(s.done & x.write), s.w_load.eq(x.load), s.w_odd.eq(s.location[0]), s.w_rd.eq(s.x_rd),
            s.w_result.eq(self._alu.result),
        ]
        with m.If(x.csr):
            m.d.sync += s.w_result.eq(self.csr.value)
        with m.If(x.getb):
            m.d.sync += s.w_result.eq(s.x_base)
        m.d.comb += [
            s.w_value.eq(Mux(s.w_load, self.memory.read_data.word_select(s.w_odd, 32), s.w_result)),
            trace.retire.eq(s.done & ~s.bad), trace.pc.eq(s.x_pc),
            trace.write.eq(s.w_valid), trace.register.eq(s.w_rd), trace.result.eq(s.w_value),
        ]

    def _trap(self, m, s):
        """`bad` comes late in the clock, so the trap is taken in the next one.

        Only stores and messages are held back at once: what else a trapping instruction may leave behind (registers,
        bases, stack, pc) means nothing to the next event.
        """
        x, cause = s.x, Signal(8)
        with m.If(s.exhausted):
            m.d.comb += cause.eq(TrapCode.RUNAWAY)
        with m.Elif(x.trap):
            m.d.comb += cause.eq(Mux(x.unused, TrapCode.UNUSED_OPCODE, s.field("trap", "imm")))
        with m.Elif(x.bad_base):
            m.d.comb += cause.eq(TrapCode.BAD_BASE)
        with m.Elif(x.send & s.location[0]):
            m.d.comb += cause.eq(TrapCode.ODD_SEND)
        with m.Elif(s.x_stack_bad):
            m.d.comb += cause.eq(TrapCode.RETURN_STACK)
        with m.Elif(x.eoe):
            m.d.comb += cause.eq(TrapCode.OPEN_MESSAGE)
        with m.Else():
            m.d.comb += cause.eq(TrapCode.BAD_ADDRESS)
        with m.If(s.live & s.bad):
            m.d.sync += [s.fault.eq(1), self.trap_code.eq(cause), self.trap_pc.eq(s.x_pc)]
        # a `send` under way is completed
        with m.Elif(self.halt & s.running & ~s.fault & (~(s.live & x.send) | self._port.done)):
            m.d.sync += [s.fault.eq(1), self.trap_code.eq(TrapCode.HALTED), self.trap_pc.eq(s.x_pc)]

    def _run_events(self, m, s):
        """From the take of an event to its end."""
        events, port, count = self.events, self._port, self.count
        steps, limited = Signal(RUNAWAY_BITS), Signal()
        end = EndOperand(s.b[:EndOperand.as_shape().size])
        void = Signal()                         # the event is not run: it ends at once as by a trap
        m.d.sync += limited.eq(self.runaway != 0)
        with m.If(s.done):
            m.d.sync += [steps.eq(steps + 1), s.exhausted.eq(limited & (steps == self.runaway))]
        m.d.comb += [
            s.finish.eq(~port.ending & (s.fault | (s.x_valid & ~s.missing & s.x.eoe & ~port.open & ~s.exhausted))),
            self.busy.eq(s.running), events.take.eq(events.start & self.configured & ~s.running),
            port.finish.eq(s.finish), port.trap.eq(s.fault), port.event.eq(events.event), port.deadline.eq(s.a),
            port.close.eq(end.close), port.cause.eq(end.cause),
            events.release.eq(s.finish), events.trap.eq(count.traps),
            count.traps.eq(s.finish & s.fault & ~void), count.voided.eq(s.finish & void),
            count.cut_messages.eq(port.cut),
            count.released.eq(port.released),
        ]
        with m.If(s.finish):
            m.d.sync += [s.running.eq(0), s.fault.eq(0)]
        with m.If(events.take):
            m.d.sync += [s.running.eq(1), void.eq(events.void | self.halt), s.fault.eq(events.void | self.halt)]
        with m.If(~s.running):
            m.d.sync += [steps.eq(1), s.exhausted.eq(0)]
