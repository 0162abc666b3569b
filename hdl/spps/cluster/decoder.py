"""Combinational decoder of the protocol core, derived from `ucode.isa`: no opcode is written here as a number."""
from itertools import product

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..ucode.isa import BASES, FORMATS, OPS, OPS_BY_CODE, OPS_BY_NAME, WORD_BITS

__all__ = ["Decoder", "Control", "Logic", "field_of", "has_operand", "operand_of"]


_OPCODE_BITS = 6


class Logic(enum.Enum, shape=2):
    """Function of half a word."""

    AND = 0
    OR = 1
    XOR = 2
    SECOND = 3


class Control(data.Struct):
    """Everything the execute stage has to know of an instruction."""

    write: unsigned(1)      # a register is written, and it is not r0
    load: unsigned(1)
    csr: unsigned(1)
    getb: unsigned(1)
    late: unsigned(1)       # one of these three: the result is there in write-back
    store: unsigned(1)
    send: unsigned(1)
    eoe: unsigned(1)
    setb: unsigned(1)
    swap: unsigned(1)
    branch: unsigned(1)
    jtab: unsigned(1)
    trap: unsigned(1)       # the opcode is trap, or not in use
    unused: unsigned(1)     # the opcode is not in use
    bad_base: unsigned(1)   # names a base register that does not exist
    compare: unsigned(1)    # the branch looks at the order of a and b, else
    by_bit: unsigned(1)     # at a bit of a, else whether they are equal
    invert: unsigned(1)     # it is taken in the other case
    signed: unsigned(1)     # order of sequence numbers: bit 31 of the difference; else a < b
    add: unsigned(1)        # the result is the sum
    oadd: unsigned(1)
    pick: unsigned(1)       # the result is the smaller or the larger operand
    pick_max: unsigned(1)
    high: Logic             # else function of bits 31..16
    low: Logic              # function of bits 15..0
    shift: unsigned(1)      # of which a shifted or moved field is kept out
    left: unsigned(1)       # it moves towards bit 31
    right: unsigned(1)      # zeros come in from bit 31


def field_of(word, operand):
    """Return the bits of an `isa.Operand` in a word."""
    return word[operand.lsb:operand.lsb + operand.width]


def cover(codes):
    """Patterns for `matches` that together match all of `codes`, some codes that are no instruction, and nothing else.

    Largest cubes first: an unused code traps whatever else is decoded from it.
    """
    codes, others = set(codes), set(OPS_BY_CODE) - set(codes)
    cubes = []
    for pattern in product("01-", repeat=_OPCODE_BITS):
        inside = {code for code in OPS_BY_CODE
                  if all(want in ("-", bit) for want, bit in zip(pattern, f"{code:0{_OPCODE_BITS}b}"))}
        if inside and not inside & others:
            cubes.append(("".join(pattern), inside))
    chosen = []
    while codes:
        pattern, inside = max(cubes, key=lambda cube: (len(cube[1] & codes), cube[0].count("-")))
        chosen.append(pattern)
        codes -= inside
    return chosen


def has_operand(name):
    """Names of the instructions whose format has the operand `name`."""
    return tuple(op.name for op in OPS if name in {o.name for o in FORMATS[op.format].operands})


def _formats(*formats):
    return tuple(op.name for op in OPS if op.format in formats)


def operand_of(format, name):
    """Return the `isa.Operand` of that name in a format."""
    return next(o for o in FORMATS[format].operands if o.name == name)


class Decoder(wiring.Component):
    """Turns an instruction word into control signals and an immediate second operand.

    Members
    -------
    word : In(36)
        Instruction.
    control : Out(Control)
        What execute has to know.
    rd, ra, rb : Out(4)
        Registers: destination, operands a and b.
    reads_a, reads_b : Out(1)
        The operand register is needed.
    use_immediate, immediate : Out(1), Out(32)
        The second operand is this instead of b.
    subtract : Out(1)
        Operand b is inverted.
    by_register : Out(1)
        b is the distance of a shift, and zero the second operand.
    jump, call, ret : Out(1)
        jmp or call; call; ret.
    based, base : Out(1), Out(3)
        The instruction names a base, and which.
    stop : Out(5)
        Last bit of the field of ext and ins.

    Timing
    ------
    Combinational.

    Source
    ------
    Patent §V; `ucode.isa`.
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
    subtract: Out(1)
    by_register: Out(1)
    jump: Out(1)
    call: Out(1)
    ret: Out(1)
    based: Out(1)
    base: Out(3)
    stop: Out(5)

    def elaborate(self, platform):
        m = Module()
        word = self.word
        opcode = word[WORD_BITS - _OPCODE_BITS:]
        used = set()

        def only(*names):
            used.update(names)
            return opcode.matches(*(OPS_BY_NAME[n].code for n in names))

        def any_of(*names):
            used.update(names)
            return opcode.matches(*cover({OPS_BY_NAME[n].code for n in names}))

        c = self.control
        m.d.comb += [
            self.rd.eq(field_of(word, operand_of("rrr", "rd"))), self.ra.eq(field_of(word, operand_of("rrr", "ra"))),
            self.rb.eq(field_of(word, operand_of("rrr", "rb"))),
            self.reads_a.eq(any_of(*has_operand("ra"))), self.reads_b.eq(any_of(*has_operand("rb"))),
            self.by_register.eq(any_of("shl", "shr")),
            self.use_immediate.eq(~self.reads_b | self.by_register),
            self.jump.eq(any_of("jmp", "call")), self.call.eq(any_of("call")), self.ret.eq(any_of("ret")),
            self.based.eq(any_of(*has_operand("base"))), self.base.eq(field_of(word, operand_of("load", "base"))),
            self.subtract.eq(any_of("sub", "minu", "smin", "smax", "bltu", "bgeu", "bslt", "bsge")),
            c.write.eq(any_of(*has_operand("rd")) & (self.rd != 0)),
            c.load.eq(any_of("ld")), c.csr.eq(any_of("csr")), c.getb.eq(any_of("getb")),
            c.late.eq(any_of("ld", "csr", "getb")),
            c.store.eq(only("st")), c.send.eq(only("send")), c.eoe.eq(only("eoe")),
            c.setb.eq(any_of("setb")), c.swap.eq(any_of("swap")),
            c.branch.eq(any_of(*_formats("brr", "bri", "bit"))), c.jtab.eq(any_of("jtab")),
            c.unused.eq(~only(*OPS_BY_NAME)), c.trap.eq(only("trap") | c.unused),
            c.bad_base.eq(self.based & (self.base >= len(BASES))),
            c.invert.eq(any_of("bne", "bgeu", "bsge", "bnei", "bbc")),
            c.add.eq(any_of("add", "sub", "addi", "oadd")), c.oadd.eq(any_of("oadd")),
            c.pick.eq(any_of("minu", "smin", "smax")), c.pick_max.eq(any_of("smax")),
            c.compare.eq(any_of("bltu", "bgeu", "bslt", "bsge")), c.by_bit.eq(any_of("bbs", "bbc")),
            c.signed.eq(any_of("smin", "smax", "bslt", "bsge")),
            c.shift.eq(any_of("shl", "shr", "shli", "shri", "ext", "ins")),
            c.left.eq(any_of("shl", "shli", "ins")), c.right.eq(any_of("shr", "shri")),
        ]
        # ins keeps its other operand, other shifts keep b = 0; li is its second operand
        m.d.comb += [c.high.eq(Logic.SECOND), c.low.eq(Logic.SECOND)]
        for logic, names in ((Logic.AND, ("and", "andi")), (Logic.OR, ("or", "ori")), (Logic.XOR, ("xor", "xori"))):
            with m.If(any_of(*names)):
                m.d.comb += [c.high.eq(logic), c.low.eq(logic)]
        with m.If(any_of("lih")):       # the second operand is imm << 16: upper half from it, lower half kept
            m.d.comb += c.low.eq(Logic.OR)

        signed, unsigned_, short = (field_of(word, operand_of(f, "imm")) for f in ("rri", "rru", "bri"))
        with m.If(any_of("andi", "ori", "xori")):
            m.d.comb += self.immediate.eq(unsigned_)
        with m.If(any_of("addi", "li")):
            m.d.comb += self.immediate.eq(Cat(signed, signed[-1].replicate(14)))
        with m.If(any_of("lih")):
            m.d.comb += self.immediate.eq(unsigned_[:16] << 16)
        with m.If(any_of("beqi", "bnei")):
            m.d.comb += self.immediate.eq(Cat(short, short[-1].replicate(26)))
        with m.If(any_of("jtab")):
            m.d.comb += self.immediate.eq(field_of(word, operand_of("jtab", "target")))

        # last bit of a field where it comes from or goes to, cut off at bit 31; width 0 stands for 32
        position, width, reach = field_of(word, operand_of("ins", "pos")), Signal(5), Signal(6)
        m.d.comb += [
            width.eq(field_of(word, operand_of("ins", "width")) - 1), reach.eq(position + width), self.stop.eq(31),
        ]
        with m.If(any_of("ext")):
            m.d.comb += self.stop.eq(Mux(reach[5], ~position, width))
        with m.If(any_of("ins") & ~reach[5]):
            m.d.comb += self.stop.eq(reach)
        assert used == set(OPS_BY_NAME), set(OPS_BY_NAME) - used
        return m
