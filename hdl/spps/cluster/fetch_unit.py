"""Fetch of a protocol core: where the next instruction comes from."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..ucode.isa import PC_BITS, RETURN_STACK

__all__ = ["FetchUnit"]


class FetchUnit(wiring.Component):
    """Asks for one instruction per clock; follows jmp, call and ret as soon as they are fetched.

    Parameters
    ----------
    params : SppsParams
        imem_words.

    Members
    -------
    run : In(1)
        An event runs in the next clock; else fetch waits at address 0.
    hold : In(1)
        Decode keeps its instruction.
    jump, target : In(1), In(12)
        Branch of the execute stage: what decode has is void.
    direct, call, ret : In(1)
        Decode holds a jmp or call, a call, a ret.
    word_target : In(12)
        Target of the jmp or call.
    address : Out(range(imem_words))
        Word asked for.
    fetch, ready : Out(1), In(1)
        As in FetchPort.
    valid, pc : Out(1), Out(12)
        Decode has the instruction of this address.
    stack_bad : Out(1)
        It is a call with the return stack full, or a ret with it empty.

    Timing
    ------
    An instruction is in decode one clock after its address. A direct jump costs nothing, a jump from execute the
    instruction in decode. Without `ready` the same address is asked for again.

    Reset
    -----
    Not running, return stack empty.

    Source
    ------
    Patent §V; `ucode.isa`.
    """

    def __init__(self, params):
        super().__init__({
            "run": In(1), "hold": In(1), "jump": In(1), "target": In(PC_BITS),
            "direct": In(1), "call": In(1), "ret": In(1), "word_target": In(PC_BITS),
            "address": Out((params.imem_words - 1).bit_length()), "fetch": Out(1), "ready": In(1),
            "valid": Out(1), "pc": Out(PC_BITS), "stack_bad": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.stack = stack = memory.Memory(shape=PC_BITS, depth=RETURN_STACK, init=[])
        push, top = stack.write_port(), stack.read_port(domain="comb")
        level = Signal(range(RETURN_STACK + 1))
        after, address = Signal(PC_BITS), Signal(PC_BITS)
        # The word in decode comes late from block RAM: what it asks for is chosen last, by two gates.
        ahead, back, found, other = Signal(), Signal(), Signal(PC_BITS), Signal(PC_BITS)
        m.d.comb += [
            after.eq(self.pc + self.valid),
            ahead.eq(self.valid & self.direct & ~self.jump), back.eq(self.valid & self.ret & ~self.jump),
            found.eq((self.word_target & ahead.replicate(PC_BITS)) | (top.data & back.replicate(PC_BITS))),
            other.eq(Mux(self.jump, self.target, after)),
            address.eq(Mux(ahead | back, found, other)), self.address.eq(address), self.fetch.eq(~self.hold),
            top.addr.eq(level - 1), push.addr.eq(level), push.data.eq(after), push.en.eq(self.valid & self.call),
            self.stack_bad.eq((self.call & (level == RETURN_STACK)) | (self.ret & (level == 0))),
        ]
        with m.If(self.valid & ~self.hold & ~self.jump):
            with m.If(self.call):
                m.d.sync += level.eq(level + 1)
            with m.If(self.ret):
                m.d.sync += level.eq(level - 1)
        with m.If(~self.hold):
            m.d.sync += [self.pc.eq(address), self.valid.eq(self.ready)]
        with m.If(~self.run):
            m.d.sync += [self.pc.eq(0), self.valid.eq(0), level.eq(0)]
        return m
