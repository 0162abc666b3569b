"""Protocol core (PPC): a microprogrammed 32-bit core that runs one event at a time."""
from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import beat_layout
from ..ucode.isa import BASE_BITS, PC_BITS, REGISTERS, WORD_BITS, TrapCode
from .alu import Alu
from .base_file import BaseFile
from .data_memory import map_of
from .decoder import Control, Decoder, field_of, operand_of
from .event_slots import slot_meta
from .fetch_unit import FetchUnit
from .message_port import MessagePort

__all__ = ["ProtocolCore", "RUNAWAY_BITS"]

RUNAWAY_BITS = 16
_IMM_BITS = 18      # everything an instruction has below its registers


class ProtocolCore(wiring.Component):
    """Fetch, decode, execute and a write-back register; one instruction per clock in straight-line code.

    Decode reads registers and bases and follows direct jumps; execute decides branches in time for the fetch of the target.
    Source: patent §V; `ucode.isa`.
    Parameters: params (workspaces, event_slots, imem_words).
    Members: fetch side: address, fetch, word, fetch_ready. Event side: start, event, slot (what may run), take, release;
    void, with start: answer as after a trap, do not run; halt: nothing runs, the event at work is cut off.
    Data memory: memory_address, memory_read, memory_write, memory_write_data, memory_read_data, uses_read,
    uses_write. csr, csr_value. runaway: most instructions of an event, 0 no limit. o: messages, unit filled by the program or DONE;
    source and cluster are zero. store, store_address: a word was written (for dirty lines). Status: busy: an event runs, waiting: and
    the bus holds it up; trapped (pulse), trap_code, trap_pc, cut (pulse: an open message was closed). For traces: retire, retire_pc:
    an instruction is complete; write, write_register, write_value.
    Latency: take to first instruction executed 2 clocks; eoe to DONE 1 clock, to the next take 2 clocks.
    Throughput: see Clocks in README.md.
    Backpressure: a beat that o does not take holds up loads and `send`, a DONE that has not left `send` and the end of the next event.
    Trap: no effect of the trapping instruction; DONE with trap = 1; the next event starts afresh.
    Reset: idle; registers and data memory keep whatever they hold.
    """

    def __init__(self, params):
        self._params = params
        self._map = map_of(params)
        address = (self._map.size - 1).bit_length()
        super().__init__({
            "address": Out((params.imem_words - 1).bit_length()), "fetch": Out(1), "word": In(WORD_BITS),
            "fetch_ready": In(1),
            "start": In(1), "void": In(1), "halt": In(1), "event": In(slot_meta(params)), "slot": In((params.event_slots - 1).bit_length()),
            "take": Out(1), "release": Out(1),
            "memory_address": Out(address), "memory_read": Out(1), "memory_write": Out(1), "memory_write_data": Out(32),
            "memory_read_data": In(64), "uses_read": Out(1), "uses_write": Out(1),
            "csr": Out(8), "csr_value": In(32), "runaway": In(RUNAWAY_BITS),
            "o": Out(stream.Signature(beat_layout())),
            "store": Out(1), "store_address": Out(address),
            "busy": Out(1), "waiting": Out(1), "trapped": Out(1), "trap_code": Out(8), "trap_pc": Out(PC_BITS),
            "retire": Out(1), "retire_pc": Out(PC_BITS), "cut": Out(1), "voided": Out(1), "released": Out(1),
            "write": Out(1), "write_register": Out(4), "write_value": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch = fetch = FetchUnit(self._params)
        m.submodules.decoder = decoder = Decoder()
        m.submodules.bases = bases = BaseFile(self._params)
        m.submodules.alu = alu = Alu()
        m.submodules.port = port = MessagePort(self._params)
        wiring.connect(m, port.o, wiring.flipped(self.o))

        # `fault`: the instruction before the one in execute trapped; only the end of the event is left to do.
        running, fault, finish = Signal(), Signal(), Signal()
        x_valid, live, stall = Signal(), Signal(), Signal()     # stall: execute keeps its instruction
        missing, late_a, late_b, late_count = Signal(), Signal(), Signal(), Signal()    # it waits for operands that are in write-back
        jump = Signal()
        late = late_a | late_b | late_count
        m.d.comb += [
            fetch.run.eq(self.take | (running & ~finish)), fetch.hold.eq(stall), fetch.jump.eq(jump),
            self.address.eq(fetch.address), self.fetch.eq(fetch.fetch), fetch.ready.eq(self.fetch_ready),
            fetch.direct.eq(decoder.jump), fetch.call.eq(decoder.call), fetch.ret.eq(decoder.ret),
            fetch.word_target.eq(field_of(self.word, operand_of("jump", "target"))),
            missing.eq(x_valid & ~fault & late), live.eq(x_valid & ~fault & ~late), self.busy.eq(running),
        ]

        # --- decode: operands from the register file, the result of execute, or the write-back register
        x, x_pc, x_rd, x_imm = Signal(Control), Signal(PC_BITS), Signal(4), Signal(_IMM_BITS)
        x_base, x_row, x_count, x_stop = Signal(BASE_BITS), Signal.like(bases.row), Signal(5), Signal(5)
        x_reach, x_after_first, x_bit_low, x_bit_high = Signal(BASE_BITS + 1), Signal(5), Signal(4), Signal(8)
        x_stack_bad, carry_in = Signal(), Signal()
        w_valid, w_load, w_odd, w_rd, w_result, w_value = Signal(), Signal(), Signal(), Signal(4), Signal(32), Signal(32)
        a, b = Signal(32), Signal(32)
        operands = []
        # r0 is never written and starts as zero.
        for name, number in (("a", decoder.ra), ("b", decoder.rb)):
            m.submodules[f"registers_{name}"] = file = memory.Memory(shape=32, depth=REGISTERS, init=[])
            write, read = file.write_port(), file.read_port(domain="comb")
            m.d.comb += [write.addr.eq(w_rd), write.data.eq(w_value), write.en.eq(w_valid), read.addr.eq(number)]
            operands.append(Mux(~missing & x_valid & x.write & (x_rd == number), alu.result,
                                Mux(missing | (w_valid & (w_rd == number)), w_value, read.data)))
        bit = field_of(self.word, operand_of("bit", "bit"))
        # A base plus `reach` carries out of BASE_BITS + 1 bits when a word, or the last of a `send`, lies beyond the data memory.
        reach, after_first = Signal(BASE_BITS + 1), Signal(5)       # beats of a `send` after its first
        m.d.comb += [
            after_first.eq(field_of(self.word, operand_of("send", "beats")) - 1),
            reach.eq(field_of(self.word, operand_of("send", "offset")) + (1 << BASE_BITS + 1) - self._map.size
                     + Mux(decoder.control.send, Cat(1, after_first), 0)),
            decoder.word.eq(self.word), bases.index.eq(decoder.base),
        ]
        # What `ld`, `csr` and `getb` bring is there in write-back: an instruction right behind them waits for it in execute, where that is
        # known early in the clock, and gets it on the way of operands, which decode does not use then.
        behind, from_a, from_b = Signal(), Signal(), Signal()
        m.d.comb += [
            behind.eq(live & x.late & x.write),
            from_a.eq(decoder.reads_a & (decoder.ra == x_rd)), from_b.eq(decoder.reads_b & (decoder.rb == x_rd)),
        ]
        m.d.sync += [late_a.eq(0), late_b.eq(0), late_count.eq(0)]
        with m.If(~stall | (missing & late_a)):
            m.d.sync += a.eq(operands[0])
        with m.If(~stall | (missing & late_b)):
            m.d.sync += b.eq(Mux(decoder.use_immediate & ~missing, decoder.immediate,
                                 operands[1] ^ Mux(missing, carry_in, decoder.subtract).replicate(32)))
        with m.If(~stall | (missing & late_count)):
            m.d.sync += x_count.eq(Mux(missing | decoder.by_register, operands[1][:5], field_of(self.word, operand_of("ins", "pos"))))
        with m.If(~stall):
            m.d.sync += [
                x_valid.eq(fetch.valid & ~jump & ~finish),
                late_a.eq(behind & from_a), late_b.eq(behind & from_b & ~decoder.by_register),
                late_count.eq(behind & from_b & decoder.by_register),
                x.eq(decoder.control), x_pc.eq(fetch.pc), x_rd.eq(decoder.rd), x_imm.eq(self.word[:_IMM_BITS]),
                x_base.eq(bases.value), x_row.eq(bases.row), x_reach.eq(reach),
                x_after_first.eq(after_first), x_stop.eq(decoder.stop), x_stack_bad.eq(fetch.stack_bad),
                carry_in.eq(decoder.subtract),
                x_bit_low.eq(Cat(bit[:2] == k for k in range(4))), x_bit_high.eq(Cat(bit[2:] == k for k in range(8))),
            ]

        # --- execute
        def field(format, name):
            return field_of(x_imm, operand_of(format, name))

        offset, location = field("send", "offset"), Signal(BASE_BITS + 1)
        again = Signal()                        # oadd adds its carry
        m.d.comb += [
            alu.control.eq(x), alu.a.eq(a), alu.b.eq(b), alu.carry_in.eq(carry_in), alu.count.eq(x_count), alu.stop.eq(x_stop),
            alu.bit_low.eq(x_bit_low), alu.bit_high.eq(x_bit_high),
            location.eq(x_base + offset),
        ]
        m.d.sync += again.eq(live & x.oadd & ~again)
        with m.If(live & x.oadd & ~again):      # in its second clock carry_in is already that of the next instruction
            m.d.sync += carry_in.eq(alu.carry)

        # What does not fit: `ld` and `st` of a word, or an end of `send`.
        exhausted, beyond, bad_send, bad = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            beyond.eq(x.bad_base | (x_base + x_reach)[BASE_BITS + 1]), bad_send.eq(beyond | location[0]),
            bad.eq(exhausted | x.trap | x_stack_bad | (x.bad_base & ~x.load & ~x.store & ~x.send) | ((x.load | x.store) & beyond)
                   | (x.send & bad_send) | (x.eoe & port.open)),
        ]
        done = Signal()                         # execute is done with its instruction
        blocked = Signal()                      # by the bus
        m.d.comb += [
            blocked.eq((x.load & ~port.free) | (x.send & (~port.free | port.ending)) | (x.eoe & port.ending)),
            stall.eq(missing | (live & (blocked | (x.send & ~port.done) | (x.oadd & ~again)))), done.eq(live & ~stall),
            self.waiting.eq((live & blocked & ~bad) | (fault & port.ending)),
            port.send.eq(live & x.send), port.legal.eq(~exhausted & ~bad_send), port.location.eq(location[1:]),
            port.after_first.eq(x_after_first), port.more.eq(field("send", "more")), port.memory_data.eq(self.memory_read_data),
            self.memory_address.eq(Mux(x.send, Cat(C(0, 1), port.address), location)),
            self.memory_read.eq(port.free),
            # early and safe: also set when the instruction traps
            self.uses_read.eq(port.hold | (live & (x.load | x.send))), self.uses_write.eq(live & x.store),
            self.memory_write.eq(live & x.store & ~exhausted & ~beyond), self.memory_write_data.eq(b),
            bases.event.eq(self.event), bases.slot.eq(self.slot), bases.idle.eq(~running),
            bases.set.eq(live & x.setb), bases.set_row.eq(x_row), bases.set_value.eq(a[:BASE_BITS]), bases.swap.eq(live & x.swap),
            fetch.target.eq(Mux(x.jtab, alu.sum[:PC_BITS], field("jump", "target"))),
            jump.eq((live & (x.jtab | (x.branch & alu.met))) | (live & x.branch & x.compare & alu.met_late)),
        ]
        m.d.sync += [
            self.store.eq(self.memory_write), self.store_address.eq(location),
            w_valid.eq(done & x.write), w_load.eq(x.load), w_odd.eq(location[0]), w_rd.eq(x_rd), w_result.eq(alu.result),
        ]
        with m.If(x.csr):
            m.d.sync += w_result.eq(self.csr_value)
        with m.If(x.getb):
            m.d.sync += w_result.eq(x_base)
        m.d.comb += [
            self.csr.eq(field("csr", "csr")),
            w_value.eq(Mux(w_load, self.memory_read_data.word_select(w_odd, 32), w_result)),
            self.retire.eq(done & ~bad), self.retire_pc.eq(x_pc),
            self.write.eq(w_valid), self.write_register.eq(w_rd), self.write_value.eq(w_value),
        ]

        # --- traps: `bad` comes late in the clock, so the trap is taken in the next one. Only stores and messages are held back at once:
        # all else that a trapping instruction may leave behind (registers, bases, stack, pc) means nothing to the next event.
        cause = Signal(8)
        with m.If(exhausted):
            m.d.comb += cause.eq(TrapCode.RUNAWAY)
        with m.Elif(x.trap):
            m.d.comb += cause.eq(Mux(x.unused, TrapCode.UNUSED_OPCODE, field("trap", "imm")))
        with m.Elif(x.bad_base):
            m.d.comb += cause.eq(TrapCode.BAD_BASE)
        with m.Elif(x.send & location[0]):
            m.d.comb += cause.eq(TrapCode.ODD_SEND)
        with m.Elif(x_stack_bad):
            m.d.comb += cause.eq(TrapCode.RETURN_STACK)
        with m.Elif(x.eoe):
            m.d.comb += cause.eq(TrapCode.OPEN_MESSAGE)
        with m.Else():
            m.d.comb += cause.eq(TrapCode.BAD_ADDRESS)
        with m.If(live & bad):
            m.d.sync += [fault.eq(1), self.trap_code.eq(cause), self.trap_pc.eq(x_pc)]
        with m.Elif(self.halt & running & ~fault & (~(live & x.send) | port.done)):     # a `send` under way is completed
            m.d.sync += [fault.eq(1), self.trap_code.eq(TrapCode.HALTED), self.trap_pc.eq(x_pc)]

        # --- life of an event
        steps, limited = Signal(RUNAWAY_BITS), Signal()
        void = Signal()                         # the event is not run: it ends at once as by a trap
        m.d.sync += limited.eq(self.runaway != 0)
        with m.If(done):
            m.d.sync += [steps.eq(steps + 1), exhausted.eq(limited & (steps == self.runaway))]
        m.d.comb += [
            finish.eq(~port.ending & (fault | (x_valid & ~missing & x.eoe & ~port.open & ~exhausted))),
            self.take.eq(self.start & ~running),
            port.finish.eq(finish), port.trap.eq(fault), port.event.eq(self.event), port.deadline.eq(a), port.close.eq(b[0]),
            self.release.eq(finish), self.trapped.eq(finish & fault & ~void), self.voided.eq(finish & void), self.cut.eq(port.cut),
            self.released.eq(port.released),
        ]
        with m.If(finish):
            m.d.sync += [running.eq(0), fault.eq(0)]
        with m.If(self.take):
            m.d.sync += [running.eq(1), void.eq(self.void | self.halt), fault.eq(self.void | self.halt)]
        with m.If(~running):
            m.d.sync += [steps.eq(1), exhausted.eq(0)]
        return m
