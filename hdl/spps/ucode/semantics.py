"""What each instruction does to a `CoreIss`, one entry per name of `isa.OPS`."""
from .isa import BASE_BITS, BASES, PC_BITS, RETURN_STACK, TrapCode
from .names import STRUCTS

__all__ = ["SEMANTICS", "Trap", "MASK"]

MASK = 0xFFFF_FFFF
_PC_MASK = (1 << PC_BITS) - 1
_END = STRUCTS["EndOperand"]


class Trap(Exception):
    """The core stops with a code."""

    def __init__(self, code):
        super().__init__(f"trap {int(code):#x}")
        self.code = code


def _before(a, b):
    """Return whether a is before b in sequence space."""
    return a - b & 1 << 31 != 0


def _carry(total):
    return total + (total >> 32)


def _alu(function):
    """Return the effect rd = function of two registers, or of a register and the immediate."""
    def run(core, rd, ra, rb=None, imm=None):
        core.write(rd, function(core.regs[ra], core.regs[rb] if imm is None else imm))
    return run


def _branch(condition):
    """Return a branch on ra and rb, an immediate or a bit number."""
    def run(core, ra, target, rb=None, imm=None, bit=None):
        other = core.regs[rb] if rb is not None else bit if bit is not None else (imm or 0) & MASK
        core.taken = bool(condition(core.regs[ra], other))
        if core.taken:
            core.next_pc = target
    return run


def _address(core, base, offset, words=1):
    if base >= len(BASES):
        raise Trap(TrapCode.BAD_BASE)
    address = core.bases[base] + offset
    if words > 1 and address & 1:
        raise Trap(TrapCode.ODD_SEND)
    if address + words > core.map.size:
        raise Trap(TrapCode.BAD_ADDRESS)
    return address


def _base(index):
    if index >= len(BASES):
        raise Trap(TrapCode.BAD_BASE)
    return index


def _setb(core, base, ra):
    core.bases[_base(base)] = core.regs[ra] & (1 << BASE_BITS) - 1


def _swap(core):
    leg, peer = BASES.index("L"), BASES.index("P")
    core.bases[leg], core.bases[peer] = core.bases[peer], core.bases[leg]


def _jump(core, target):
    core.next_pc = target


def _call(core, target):
    if len(core.stack) == RETURN_STACK:
        raise Trap(TrapCode.RETURN_STACK)
    core.stack.append(core.next_pc)
    core.next_pc = target


def _ret(core):
    if not core.stack:
        raise Trap(TrapCode.RETURN_STACK)
    core.next_pc = core.stack.pop()


def _jtab(core, ra, target):
    core.next_pc = target + core.regs[ra] & _PC_MASK


def _send(core, base, offset, beats, more):
    address = _address(core, base, offset, 2 * beats)
    words = core.mem[address:address + 2 * beats]
    core.send([low | high << 32 for low, high in zip(words[::2], words[1::2])], more)


def _eoe(core, ra, rb):
    if core.message:
        raise Trap(TrapCode.OPEN_MESSAGE)
    close, cause = (core.regs[rb] >> _END[name].lsb & (1 << _END[name].width) - 1 for name in ("close", "cause"))
    core.finish(core.regs[ra], close, cause)


def _trap(core, imm):
    raise Trap(imm)


SEMANTICS = {
    "trap": _trap,
    "add": _alu(lambda a, b: a + b),
    "sub": _alu(lambda a, b: a - b),
    "and": _alu(lambda a, b: a & b),
    "or": _alu(lambda a, b: a | b),
    "xor": _alu(lambda a, b: a ^ b),
    "shl": _alu(lambda a, b: a << (b & 31)),
    "shr": _alu(lambda a, b: a >> (b & 31)),
    "oadd": _alu(lambda a, b: _carry(a + b)),
    "minu": _alu(min),
    "smin": _alu(lambda a, b: a if _before(a, b) else b),
    "smax": _alu(lambda a, b: b if _before(a, b) else a),
    "addi": _alu(lambda a, imm: a + imm),
    "andi": _alu(lambda a, imm: a & imm),
    "ori": _alu(lambda a, imm: a | imm),
    "xori": _alu(lambda a, imm: a ^ imm),
    "shli": _alu(lambda a, imm: a << (imm & 31)),
    "shri": _alu(lambda a, imm: a >> (imm & 31)),
    "li": lambda core, rd, imm: core.write(rd, imm),
    "lih": _alu(lambda a, imm: (imm & 0xFFFF) << 16 | a & 0xFFFF),
    "ext": lambda core, rd, ra, pos, width: core.write(rd, core.regs[ra] >> pos & (1 << width) - 1),
    "ins": lambda core, rd, ra, rb, pos, width: core.write(
        rd, core.regs[ra] & ~((1 << width) - 1 << pos) | (core.regs[rb] & (1 << width) - 1) << pos),
    "ld": lambda core, rd, base, offset: core.write(rd, core.mem[_address(core, base, offset)]),
    "st": lambda core, base, offset, rb: core.store(_address(core, base, offset), core.regs[rb]),
    "setb": _setb,
    "getb": lambda core, rd, base: core.write(rd, core.bases[_base(base)]),
    "swap": _swap,
    "csr": lambda core, rd, csr: core.write(rd, core.read_csr(csr)),
    "beq": _branch(lambda a, b: a == b),
    "bne": _branch(lambda a, b: a != b),
    "bltu": _branch(lambda a, b: a < b),
    "bgeu": _branch(lambda a, b: a >= b),
    "bslt": _branch(_before),
    "bsge": _branch(lambda a, b: not _before(a, b)),
    "beqi": _branch(lambda a, imm: a == imm),
    "bnei": _branch(lambda a, imm: a != imm),
    "bbs": _branch(lambda a, bit: a >> bit & 1),
    "bbc": _branch(lambda a, bit: not a >> bit & 1),
    "jmp": _jump,
    "call": _call,
    "ret": _ret,
    "jtab": _jtab,
    "send": _send,
    "eoe": _eoe,
}
