"""The instruction set of the protocol core, defined once.

Encoder, decoder, assembler, disassembler, instruction-set simulator, RTL decoder and the generated
documentation are all derived from `OPS`. A word is 36 bits (two 18-bit block RAMs):

    35..30 opcode | 29..26 rd | 25..22 ra | 21..18 rb | 17..0 imm

16 registers of 32 bits; r0 reads as zero. Six base registers of 12 bits address the data memory in words: WS
workspace, L this leg, P the peer leg, EV the event, SC per-core scratch, X free pointer. At the start of an event the
hardware sets WS, EV, SC, L = WS + LEG_BASE + LEG_STRIDE * event.leg, P = the other leg, pc = 0, and empties the
return stack; other registers keep whatever they held, so programs must not read them before writing.

An address is base + offset without wrapping (13 bits). A trapping instruction changes nothing: no part of a trapping
send leaves. A message that a trap cut short (sends with more = 1 before it) must be closed by the core, for the bus is
locked to it. A CSR that does not exist reads as zero.
Source: patent §V.
"""
import enum
from typing import NamedTuple

from ..layouts.config import CONFIG
from ..layouts.event import EVENT_WORDS
from ..layouts.flowstate import FLOWSTATE_WORDS

__all__ = ["Format", "FORMATS", "Op", "OPS", "OPS_BY_NAME", "OPS_BY_CODE", "UNUSED_CODES", "BASES", "CSRS",
           "CSR_CONFIG", "WORD_BITS", "REGISTERS", "RETURN_STACK", "Operand", "PC_BITS", "BASE_BITS", "SCRATCH_WORDS",
           "TrapCode", "MemoryMap", "memory_map"]

WORD_BITS = 36
REGISTERS = 16
RETURN_STACK = 8
PC_BITS = 12            # wraps; a smaller instruction memory repeats; words never loaded are trap 0
BASE_BITS = 12
SCRATCH_WORDS = 128
BASES = ("WS", "L", "P", "EV", "SC", "X")

#: CSR number by name; configuration words follow at CSR_CONFIG
CSR_CONFIG = 64
CSRS = {
    "now": 0,           # tick counter
    "cycles": 1,        # free-running clock counter, low 32 bits
    "isn_clock": 2,     # ISN clock: grows about every 4 us, never goes back across takeover
    "active": 3,          # 1 active, 0 standby
    "epoch": 4,         # bits 15:0 the epoch, bits 31:16 how often a standby has joined this unit as the active
    "core_id": 5,
    "sync_ready": 6,    # 1: a full record will be accepted without waiting
    "protect": 7,       # 1: a standby takes records, so that connections are protected
    "event_conn": 8,    # local flow id of the event
    "fast_ready": 9,    # 1: sync_ready, and every bit of pool_status of a pool that exists
    "pool_status": 10,  # PoolBit: which pools of socket memory have room
    **{f"cfg.{c.name}": CSR_CONFIG + i for i, c in enumerate(CONFIG)},
}


class TrapCode(enum.IntEnum):
    """Traps raised by the core itself; programs use the codes below 0xF0."""

    UNUSED_OPCODE = 0xFF
    BAD_BASE = 0xFE         # base register 6 or 7
    ODD_SEND = 0xFD         # send from an odd address
    RETURN_STACK = 0xFC     # call with the stack full, or ret with it empty
    BAD_ADDRESS = 0xFB      # ld, st or any word of a send outside the data memory
    RUNAWAY = 0xFA          # more instructions in one event than allowed
    OPEN_MESSAGE = 0xF9     # eoe after a send with more = 1
    HALTED = 0xF8           # the core was fenced in the middle of an event


class MemoryMap(NamedTuple):
    """Data memory of a core, in words: first word of the workspaces, event slots, scratch, and the size."""

    workspaces: int
    events: int
    scratch: int
    size: int


def memory_map(workspaces, event_slots):
    """Return the map for so many workspaces and event slots (counts, as in SppsParams)."""
    events = workspaces * FLOWSTATE_WORDS
    scratch = events + event_slots * EVENT_WORDS
    return MemoryMap(0, events, scratch, scratch + SCRATCH_WORDS)


class Operand(NamedTuple):
    """An operand: its kind and where its bits are.

    kind: reg, base, imm (signed), uimm, target, csr, bit, width (1..32, 32 is encoded as 0).
    """

    name: str
    kind: str
    lsb: int
    width: int


RD, RA, RB = Operand("rd", "reg", 26, 4), Operand("ra", "reg", 22, 4), Operand("rb", "reg", 18, 4)
TARGET = Operand("target", "target", 0, 12)
BASE, OFFSET = Operand("base", "base", 9, 3), Operand("offset", "uimm", 0, 9)


class Format(NamedTuple):
    """syntax: how an instruction is written; operands in that order."""

    syntax: str
    operands: tuple


FORMATS = {
    "none": Format("", ()),
    "rrr": Format("rd, ra, rb", (RD, RA, RB)),
    "rri": Format("rd, ra, imm", (RD, RA, Operand("imm", "imm", 0, 18))),
    "rru": Format("rd, ra, imm", (RD, RA, Operand("imm", "uimm", 0, 18))),
    "ri": Format("rd, imm", (RD, Operand("imm", "imm", 0, 18))),
    "ext": Format("rd, ra, pos, width", (RD, RA, Operand("pos", "uimm", 0, 5), Operand("width", "width", 5, 5))),
    # what moves is the first operand of the shifter, as in the shifts: ra and rb change places in the word
    "ins": Format("rd, ra, rb, pos, width",
                  (RD, RA._replace(lsb=RB.lsb), RB._replace(lsb=RA.lsb),
                   Operand("pos", "uimm", 0, 5), Operand("width", "width", 5, 5))),
    "load": Format("rd, base.offset", (RD, BASE, OFFSET)),
    "store": Format("base.offset, rb", (BASE, OFFSET, RB)),
    "setb": Format("base, ra", (BASE, RA)),
    "getb": Format("rd, base", (RD, BASE)),
    "csr": Format("rd, csr", (RD, Operand("csr", "csr", 0, 8))),
    "brr": Format("ra, rb, target", (RA, RB, TARGET)),
    "bri": Format("ra, imm, target", (RA, Operand("imm", "imm", 12, 6), TARGET)),
    "bit": Format("ra, bit, target", (RA, Operand("bit", "bit", 12, 5), TARGET)),
    "jump": Format("target", (TARGET,)),
    "jtab": Format("ra, target", (RA, TARGET)),
    "send": Format("base.offset, beats, more",
                   (BASE, OFFSET, Operand("beats", "width", 12, 5), Operand("more", "uimm", 17, 1))),
    "rr": Format("ra, rb", (RA, RB)),
    "trap": Format("imm", (Operand("imm", "uimm", 0, 8),)),
}


class Op(NamedTuple):
    """An instruction: opcode, name, format and what it does."""

    code: int
    name: str
    format: str
    effect: str     # documentation; all arithmetic mod 2^32


# Codes that make the decoder small: bit 4: rb is read; bit 5, or 4 and 3: ra is read; bit 0 of a branch: the opposite.
_TABLE = (
    (0x00, "trap", "trap", "stop: trap with code imm; the all-zero word is trap 0"),
    (0x01, "li", "ri", "rd = imm, sign-extended"),
    (0x02, "csr", "csr", "rd = csr"),
    (0x03, "getb", "getb", "rd = base"),
    (0x04, "ld", "load", "rd = mem[base + offset]"),
    (0x05, "swap", "none", "exchange L and P"),
    (0x06, "send", "send",
     "send beats 64-bit beats from mem[base + offset] (even address); more = 1: the message goes on"),
    (0x0C, "jmp", "jump", "pc = target"),
    (0x0D, "call", "jump", "push pc + 1; pc = target; the ninth nested call traps"),
    (0x0E, "ret", "none", "pop pc; on an empty stack traps"),
    (0x10, "st", "store", "mem[base + offset] = rb"),
    (0x18, "eoe", "rr", "end of event: ra = deadline (tick, 0 none), rb = EndOperand"),
    (0x1C, "shl", "rrr", "rd = ra << (rb & 31)"),
    (0x1D, "shr", "rrr", "rd = ra >> (rb & 31), zero fill"),
    (0x1E, "ins", "ins", "rd = ra with width bits from pos replaced by the low bits of rb"),
    (0x20, "addi", "rri", "rd = ra + imm"),
    (0x21, "setb", "setb", "base = ra & 0xFFF"),
    (0x22, "lih", "rru", "rd = (imm & 0xFFFF) << 16 | ra & 0xFFFF"),
    (0x23, "jtab", "jtab", "pc = target + (ra & 0xFFF)"),
    (0x24, "andi", "rru", "rd = ra & imm"),
    (0x25, "ori", "rru", "rd = ra | imm"),
    (0x26, "xori", "rru", "rd = ra ^ imm"),
    (0x28, "shli", "rru", "rd = ra << (imm & 31)"),
    (0x29, "shri", "rru", "rd = ra >> (imm & 31), zero fill"),
    (0x2A, "ext", "ext", "rd = width bits of ra from pos"),
    (0x2C, "beqi", "bri", "if ra == imm: pc = target"),
    (0x2D, "bnei", "bri", "if ra != imm: pc = target"),
    (0x2E, "bbs", "bit", "if the bit of ra is set: pc = target"),
    (0x2F, "bbc", "bit", "if the bit of ra is clear: pc = target"),
    (0x30, "add", "rrr", "rd = ra + rb"),
    (0x31, "oadd", "rrr", "rd = ra + rb + carry out (ones complement)"),
    (0x32, "sub", "rrr", "rd = ra - rb"),
    (0x33, "minu", "rrr", "rd = the smaller, unsigned"),
    (0x34, "and", "rrr", "rd = ra & rb"),
    (0x35, "or", "rrr", "rd = ra | rb"),
    (0x36, "xor", "rrr", "rd = ra ^ rb"),
    (0x38, "beq", "brr", "if ra == rb: pc = target"),
    (0x39, "bne", "brr", "if ra != rb: pc = target"),
    (0x3A, "bltu", "brr", "if ra < rb unsigned: pc = target"),
    (0x3B, "bgeu", "brr", "if ra >= rb unsigned: pc = target"),
    (0x3C, "bslt", "brr", "if (ra - rb) has bit 31 set (ra before rb): pc = target"),
    (0x3D, "bsge", "brr", "if (ra - rb) has bit 31 clear: pc = target"),
    (0x3E, "smin", "rrr", "rd = ra if (ra - rb) has bit 31 set, else rb: the earlier sequence number"),
    (0x3F, "smax", "rrr", "rd = rb if (ra - rb) has bit 31 set, else ra: the later sequence number"),
)
OPS = tuple(Op(*row) for row in _TABLE)
OPS_BY_NAME = {op.name: op for op in OPS}
OPS_BY_CODE = {op.code: op for op in OPS}
UNUSED_CODES = tuple(code for code in range(64) if code not in OPS_BY_CODE)
