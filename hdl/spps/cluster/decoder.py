"""Combinational decoder of the protocol core, derived from `ucode.isa`: no opcode is written here as a number."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..ucode.isa import BASES, FORMATS, OPS, OPS_BY_NAME, WORD_BITS

__all__ = ["Decoder", "Control", "Result", "Condition", "Logic", "field_of", "has_operand"]


class Result(enum.Enum, shape=3):
    """Which unit drives the result."""
    ADD = 0
    OADD = 1
    SHIFT = 2
    PICK = 3
    LOGIC = 4
    BASE = 5
    CSR = 6


class Condition(enum.Enum, shape=2):
    """What a conditional branch looks at; `invert` gives the other half."""
    EQUAL = 0
    BELOW = 1       # unsigned
    BEFORE = 2      # bit 31 of the difference
    BIT = 3


class Logic(enum.Enum, shape=2):
    AND = 0
    OR = 1
    XOR = 2
    SECOND = 3


class Control(data.Struct):
    """Everything the execute stage has to know of an instruction."""
    write: unsigned(1)      # a register is written, and it is not r0
    load: unsigned(1)
    store: unsigned(1)
    send: unsigned(1)
    eoe: unsigned(1)
    setb: unsigned(1)
    swap: unsigned(1)
    branch: unsigned(1)
    jump: unsigned(1)
    call: unsigned(1)
    ret: unsigned(1)
    jtab: unsigned(1)
    trap: unsigned(1)       # the opcode is trap, or not in use
    unused: unsigned(1)     # the opcode is not in use
    based: unsigned(1)      # names a base register
    bad_base: unsigned(1)   # names one that does not exist
    result: Result
    condition: Condition
    invert: unsigned(1)
    subtract: unsigned(1)
    high: Logic             # function of bits 31..16
    low: Logic              # function of bits 15..0
    pick_max: unsigned(1)
    pick_signed: unsigned(1)
    left: unsigned(1)       # shift towards bit 31
    insert: unsigned(1)


def field_of(word, operand):
    """The bits of an `isa.Operand` in a word."""
    return word[operand.lsb:operand.lsb + operand.width]


def has_operand(name):
    """Names of the instructions whose format has the operand `name`."""
    return tuple(op.name for op in OPS if name in {o.name for o in FORMATS[op.format].operands})


def _formats(*formats):
    return tuple(op.name for op in OPS if op.format in formats)


def _operand(format, name):
    return next(o for o in FORMATS[format].operands if o.name == name)


class Decoder(wiring.Component):
    """Turns an instruction word into control signals and an immediate second operand.

    Source: patent §V; `ucode.isa`.
    Members: word; control; rd, ra, rb; reads_a, reads_b (the register is needed); use_immediate and immediate
    (second operand); base, offset; last_offset (offset of the last word touched); target; beats, more; code (of a
    trap); stop (first bit above the field of ext and ins).
    Latency: combinational.
    """

    word: In(WORD_BITS)
    control: Out(Control)
    rd: Out(4)
    ra: Out(4)
    rb: Out(4)
    reads_a: Out(1)
    reads_b: Out(1)
    use_immediate: Out(1)
    immediate: Out(32)
    base: Out(3)
    offset: Out(9)
    last_offset: Out(10)
    target: Out(12)
    position: Out(5)
    stop: Out(6)
    more: Out(1)
    beats: Out(6)
    csr: Out(8)
    code: Out(8)

    def elaborate(self, platform):
        m = Module()
        word = self.word
        opcode = word[WORD_BITS - 6:]
        used = set()

        def any_of(*names):
            used.update(names)
            return opcode.matches(*(OPS_BY_NAME[n].code for n in names)) if names else 0

        c = self.control
        rd, ra, rb = (_operand("rrr", n) for n in ("rd", "ra", "rb"))
        m.d.comb += [
            self.rd.eq(field_of(word, rd)), self.ra.eq(field_of(word, ra)), self.rb.eq(field_of(word, rb)),
            self.reads_a.eq(any_of(*has_operand("ra"))), self.reads_b.eq(any_of(*has_operand("rb"))),
            c.write.eq(any_of(*has_operand("rd")) & (self.rd != 0)),
            c.load.eq(any_of("ld")), c.store.eq(any_of("st")), c.send.eq(any_of("send")), c.eoe.eq(any_of("eoe")),
            c.setb.eq(any_of("setb")), c.swap.eq(any_of("swap")),
            c.branch.eq(any_of(*_formats("brr", "bri", "bit"))), c.jump.eq(any_of("jmp", "call", "ret", "jtab")),
            c.call.eq(any_of("call")), c.ret.eq(any_of("ret")), c.jtab.eq(any_of("jtab")),
            c.unused.eq(~any_of(*OPS_BY_NAME)), c.trap.eq(any_of("trap") | c.unused),
            c.based.eq(any_of(*has_operand("base"))),
            c.invert.eq(any_of("bne", "bgeu", "bsge", "bnei", "bbc")),
            c.subtract.eq(any_of("sub", "minu", "smin", "smax", "bltu", "bgeu", "bslt", "bsge")),
            c.pick_max.eq(any_of("smax")), c.pick_signed.eq(any_of("smin", "smax")),
            c.left.eq(any_of("shl", "shli", "ins")), c.insert.eq(any_of("ins")),
            c.condition.eq(Mux(any_of("bltu", "bgeu"), Condition.BELOW, Mux(
                any_of("bslt", "bsge"), Condition.BEFORE, Mux(any_of("bbs", "bbc"), Condition.BIT, Condition.EQUAL)))),
        ]
        for result, names in (
            (Result.OADD, ("oadd",)), (Result.SHIFT, ("shl", "shr", "shli", "shri", "ext", "ins")),
            (Result.PICK, ("minu", "smin", "smax")), (Result.BASE, ("getb",)), (Result.CSR, ("csr",)),
            (Result.LOGIC, ("and", "or", "xor", "andi", "ori", "xori", "li", "lih")),
            (Result.ADD, ("add", "sub", "addi")),
        ):
            with m.If(any_of(*names)):
                m.d.comb += c.result.eq(result)
        for logic, names in ((Logic.AND, ("and", "andi")), (Logic.OR, ("or", "ori")), (Logic.XOR, ("xor", "xori")),
                             (Logic.SECOND, ("li",))):
            with m.If(any_of(*names)):
                m.d.comb += [c.high.eq(logic), c.low.eq(logic)]
        with m.If(any_of("lih")):       # the second operand is imm << 16: upper half from it, lower half kept
            m.d.comb += [c.high.eq(Logic.SECOND), c.low.eq(Logic.OR)]

        signed, unsigned_, short = (field_of(word, _operand(f, "imm")) for f in ("rri", "rru", "bri"))
        m.d.comb += [
            self.use_immediate.eq(any_of(*_formats("rri", "rru", "ri", "ext", "bri", "bit"))),
            self.immediate.eq(unsigned_),
        ]
        with m.If(any_of("addi", "li")):
            m.d.comb += self.immediate.eq(Cat(signed, signed[-1].replicate(14)))
        with m.If(any_of("lih")):
            m.d.comb += self.immediate.eq(unsigned_[:16] << 16)
        with m.If(any_of("beqi", "bnei", "bbs", "bbc")):    # the bit number is the low part of the same field
            assert _operand("bit", "bit").lsb == _operand("bri", "imm").lsb
            m.d.comb += self.immediate.eq(Cat(short, short[-1].replicate(26)))

        beats = field_of(word, _operand("send", "beats"))
        width = field_of(word, _operand("ext", "width"))
        full_width = Cat(width, width == 0)     # 0 stands for 32
        m.d.comb += [
            self.base.eq(field_of(word, _operand("load", "base"))),
            self.offset.eq(field_of(word, _operand("load", "offset"))),
            c.bad_base.eq(c.based & (self.base >= len(BASES))),
            self.beats.eq(Cat(beats, beats == 0)),
            self.more.eq(field_of(word, _operand("send", "more"))),
            self.last_offset.eq(self.offset + Mux(c.send, (self.beats << 1) - 1, 0)),
            self.target.eq(field_of(word, _operand("jump", "target"))),
            self.position.eq(field_of(word, _operand("ins", "pos"))),
            self.stop.eq(Mux(any_of("ext"), full_width, Mux(c.insert, full_width + self.position, 32))),
            self.csr.eq(field_of(word, _operand("csr", "csr"))),
            self.code.eq(field_of(word, _operand("trap", "imm"))),
        ]
        assert used == set(OPS_BY_NAME), set(OPS_BY_NAME) - used
        return m
