"""Protocol core (PPC): a microprogrammed 32-bit core that runs one event at a time."""
from amaranth.hdl import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import FLOWSTATE_WORDS, LEG_BASE, LEG_STRIDE
from ..layouts.message import beat_layout
from ..ucode.isa import BASE_BITS, BASES, PC_BITS, REGISTERS, RETURN_STACK, TrapCode, WORD_BITS
from .alu import Alu
from .data_memory import map_of
from .decoder import Control, Decoder, Result
from .event_slots import slot_meta
from .message_port import MessagePort

__all__ = ["ProtocolCore"]


class ProtocolCore(wiring.Component):
    """Fetch, decode, execute and a write-back register; one instruction per clock in straight-line code.

    Source: patent §V; `ucode.isa`.
    Parameters: params (workspaces, event_slots, imem_words).
    Members: fetch side: address, fetch, word, fetch_ready. Event side: start, event, slot (what may run), take, release;
    void, with start: answer as after a trap, do not run; halt: nothing runs, the event at work is cut off.
    Data memory: memory_address, memory_read, memory_write, memory_write_data, memory_read_data, uses_read,
    uses_write. csr, csr_value. runaway:
    most instructions of an event, 0 no limit. o: messages, unit filled by the program or DONE; source and cluster are
    zero. store, store_address: a word was written (for dirty lines). Status: busy, trapped (pulse), trap_code, trap_pc,
    retire, retire_pc (an instruction is complete), cut (pulse: an open message was closed).
    Latency: start to first instruction executed 4 clocks; eoe to DONE 2 clocks.
    Throughput: 1 instruction per clock; a taken branch or jump costs 2 more, the use of a loaded register by the next
    instruction 1 more, `send` 1 + beats.
    Backpressure: `send` and the end of an event wait for o.ready.
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
            "csr": Out(8), "csr_value": In(32), "runaway": In(32),
            "o": Out(stream.Signature(beat_layout())),
            "store": Out(1), "store_address": Out(address),
            "busy": Out(1), "trapped": Out(1), "trap_code": Out(8), "trap_pc": Out(12),
            "retire": Out(1), "retire_pc": Out(12), "cut": Out(1), "waiting": Out(1), "voided": Out(1), "released": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.decoder = decoder = Decoder()
        m.submodules.alu = alu = Alu()
        m.submodules.port = port = MessagePort(params)
        wiring.connect(m, port.o, wiring.flipped(self.o))

        # --- fetch
        pc = Signal(PC_BITS)
        f_valid, f_pc = Signal(), Signal(PC_BITS)
        stall, wait, flush = Signal(), Signal(), Signal()   # execute is busy; operand not there; what follows is void
        jump = Signal()
        target = Signal(PC_BITS)
        running = Signal()
        m.d.comb += [
            self.address.eq(pc), self.fetch.eq(~stall & ~wait), self.busy.eq(running),
        ]
        with m.If(~stall & ~wait):
            m.d.sync += [f_valid.eq(self.fetch_ready & running), f_pc.eq(pc)]
            with m.If(self.fetch_ready & running):
                m.d.sync += pc.eq(pc + 1)
        with m.If(jump):
            m.d.sync += pc.eq(target)
        with m.If(flush):
            m.d.sync += f_valid.eq(0)

        # --- decode: operands from the register file, the result of execute, or the write-back register
        x_valid, x = Signal(), Signal(Control)
        x_pc, x_rd, x_base, x_offset, x_last = Signal(PC_BITS), Signal(4), Signal(3), Signal(9), Signal(10)
        x_target, x_position, x_stop = Signal(PC_BITS), Signal(5), Signal(6)
        x_beats, x_more, x_csr, x_code = Signal(6), Signal(), Signal(8), Signal(8)
        w_valid, w_load, w_odd, w_rd, w_result, w_value = Signal(), Signal(), Signal(), Signal(4), Signal(32), Signal(32)
        a, b, store_data = Signal(32), Signal(32), Signal(32)
        operands = []
        # r0 is never written and starts as zero.
        for name, number in (("a", decoder.ra), ("b", decoder.rb)):
            m.submodules[f"registers_{name}"] = file = memory.Memory(shape=32, depth=REGISTERS, init=[])
            write, read = file.write_port(), file.read_port(domain="comb")
            m.d.comb += [write.addr.eq(w_rd), write.data.eq(w_value), write.en.eq(w_valid), read.addr.eq(number)]
            value = Signal(32, name=f"operand_{name}")
            with m.If(x_valid & x.write & (x_rd == number)):
                m.d.comb += value.eq(alu.result)
            with m.Elif(w_valid & (w_rd == number)):
                m.d.comb += value.eq(w_value)
            with m.Else():
                m.d.comb += value.eq(read.data)
            operands.append(value)
        m.d.comb += [
            decoder.word.eq(self.word),
            wait.eq(f_valid & x_valid & x.load & x.write & (
                (decoder.reads_a & (decoder.ra == x_rd)) | (decoder.reads_b & (decoder.rb == x_rd)))),
        ]
        with m.If(~stall):
            m.d.sync += x_valid.eq(f_valid & ~wait & ~flush)
            m.d.sync += [
                x.eq(decoder.control), x_pc.eq(f_pc), x_rd.eq(decoder.rd), x_base.eq(decoder.base),
                x_offset.eq(decoder.offset), x_last.eq(decoder.last_offset), x_target.eq(decoder.target),
                x_position.eq(decoder.position), x_stop.eq(decoder.stop), x_beats.eq(decoder.beats),
                x_more.eq(decoder.more), x_csr.eq(decoder.csr), x_code.eq(decoder.code),
                a.eq(operands[0]), b.eq(Mux(decoder.use_immediate, decoder.immediate, operands[1])),
            ]

        # --- execute
        bases = Array(Signal(BASE_BITS, name=f"base_{name}") for name in BASES)
        base, location, last = Signal(BASE_BITS), Signal(BASE_BITS + 1), Signal(BASE_BITS + 1)
        m.d.comb += [
            base.eq(bases[x_base]), location.eq(base + x_offset), last.eq(base + x_last),
            self.csr.eq(x_csr),
            alu.control.eq(x), alu.a.eq(a), alu.b.eq(b), alu.position.eq(x_position), alu.stop.eq(x_stop),
            alu.extra.eq(Mux(x.result == Result.CSR, self.csr_value, base)),
        ]
        go, done = Signal(), Signal()               # legal and valid; complete in this clock
        cause, bad, refused = Signal(8), Signal(), Signal()
        stack_level, stack_top = Signal(range(RETURN_STACK + 1)), Signal(PC_BITS)
        left, limited, exhausted = Signal(32), Signal(), Signal()
        memory_access = x.load | x.store | x.send
        m.d.comb += bad.eq(1)
        with m.If(exhausted):
            m.d.comb += cause.eq(TrapCode.RUNAWAY)
        with m.Elif(x.trap):
            m.d.comb += cause.eq(Mux(x.unused, TrapCode.UNUSED_OPCODE, x_code))
        with m.Elif(x.bad_base):
            m.d.comb += cause.eq(TrapCode.BAD_BASE)
        with m.Elif(x.send & (base[0] ^ x_offset[0])):
            m.d.comb += cause.eq(TrapCode.ODD_SEND)
        with m.Elif(memory_access & (last >= self._map.size)):
            m.d.comb += cause.eq(TrapCode.BAD_ADDRESS)
        with m.Elif((x.call & (stack_level == RETURN_STACK)) | (x.ret & (stack_level == 0))):
            m.d.comb += cause.eq(TrapCode.RETURN_STACK)
        with m.Elif(x.eoe & port.open):
            m.d.comb += cause.eq(TrapCode.OPEN_MESSAGE)
        with m.Else():
            m.d.comb += bad.eq(0)

        # `bad` comes late in the clock. It holds back stores and messages only: all else that a trapping instruction may
        # leave behind (registers, bases, stack, pc) means nothing to the next event. An illegal send traps one clock
        # later, so that `bad` does not stop the pipeline.
        m.d.sync += refused.eq(x_valid & x.send & bad & ~refused)
        m.d.comb += [
            go.eq(x_valid & ~bad), done.eq(go & ~stall),
            stall.eq(x_valid & x.send & ~refused & ~port.done),
            port.send.eq(go & x.send), port.location.eq(location[1:]), port.beats.eq(x_beats), port.more.eq(x_more),
            port.memory_data.eq(self.memory_read_data),
            self.memory_address.eq(Mux(port.active, Cat(C(0, 1), port.address), location)),
            self.memory_read.eq(Mux(port.active, port.read, x.load | x.send)),
            # early and safe: also set when the instruction traps
            self.uses_read.eq(port.active | (x_valid & (x.load | x.send))), self.uses_write.eq(x_valid & x.store),
            self.memory_write.eq(go & x.store), self.memory_write_data.eq(b),
            self.retire.eq(done), self.retire_pc.eq(x_pc),
        ]
        m.d.sync += [self.store.eq(go & x.store), self.store_address.eq(location)]
        m.d.sync += [
            w_valid.eq(x_valid & x.write), w_load.eq(x.load), w_odd.eq(location[0]), w_rd.eq(x_rd), w_result.eq(alu.result),
        ]
        m.d.comb += w_value.eq(Mux(w_load, self.memory_read_data.word_select(w_odd, 32), w_result))

        with m.If(x_valid & ~stall):
            m.d.sync += [left.eq(left - 1), exhausted.eq(limited & (left == 1))]
        with m.If(x_valid & x.setb):
            m.d.sync += bases[x_base].eq(a[:12])
        with m.If(x_valid & x.swap):
            m.d.sync += [bases[1].eq(bases[2]), bases[2].eq(bases[1])]

        m.submodules.stack = stack = memory.Memory(shape=12, depth=RETURN_STACK, init=[])
        push, top = stack.write_port(), stack.read_port(domain="comb")
        m.d.comb += [
            push.addr.eq(stack_level), push.data.eq(x_pc + 1), push.en.eq(x_valid & x.call),
            top.addr.eq(stack_level - 1), stack_top.eq(top.data),
        ]
        with m.If(x_valid & x.call):
            m.d.sync += stack_level.eq(stack_level + 1)
        with m.If(x_valid & x.ret):
            m.d.sync += stack_level.eq(stack_level - 1)
        m.d.comb += target.eq(Mux(x.ret, stack_top, x_target + Mux(x.jtab, a[:12], 0)))

        # --- life of an event
        trap, ending, halted = Signal(), Signal(), Signal()
        m.d.comb += [
            halted.eq(self.halt & running & ~port.active),      # a send in progress is whole before the cut
            trap.eq((x_valid & bad & (~x.send | refused)) | halted), ending.eq(trap | (x_valid & x.eoe)),
        ]
        m.d.comb += [
            jump.eq(x_valid & (x.jump | (x.branch & alu.met))), flush.eq(jump | ending),
        ]
        with m.If(ending):
            m.d.sync += [running.eq(0), x_valid.eq(0)]
        late_trap, late_cause, late_pc = Signal(), Signal(8), Signal(PC_BITS)
        m.d.sync += [late_trap.eq(trap), late_cause.eq(Mux(halted, TrapCode.HALTED, cause)), late_pc.eq(x_pc)]
        with m.If(late_trap):
            m.d.sync += [self.trap_code.eq(late_cause), self.trap_pc.eq(late_pc)]
        with m.If(running):     # held from the end of the event on
            m.d.sync += [port.deadline.eq(a), port.close.eq(b[0])]
        m.d.comb += [
            port.finish.eq(ending | self.voided), port.trap.eq(trap | self.voided), self.trapped.eq(trap),
            self.released.eq(port.released), self.voided.eq(self.take & (self.void | self.halt)),
            port.event.eq(self.event), self.release.eq(port.finished), self.cut.eq(port.cut),
            self.waiting.eq(self.o.valid & ~self.o.ready),
        ]
        with m.If(self.take):
            workspace = Cat(C(0, FLOWSTATE_WORDS.bit_length() - 1), self.event.workspace)
            legs = [(workspace | C(0, 12)) + LEG_BASE + LEG_STRIDE * n for n in range(2)]
            values = {
                "WS": workspace, "L": Mux(self.event.leg, legs[1], legs[0]), "P": Mux(self.event.leg, legs[0], legs[1]),
                "EV": self._map.events | (self.slot << 4), "SC": self._map.scratch, "X": bases[BASES.index("X")],
            }
            m.d.sync += [bases[i].eq(values[name]) for i, name in enumerate(BASES)]
            m.d.sync += [
                running.eq(~self.voided), pc.eq(0), stack_level.eq(0), left.eq(self.runaway), limited.eq(self.runaway != 0),
                exhausted.eq(0),
            ]
        m.d.comb += self.take.eq(self.start & ~running & ~port.ending)
        return m
