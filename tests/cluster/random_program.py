"""Random legal programs for the lockstep test, and some that trap."""
from spps.ucode.codec import encode, operand_range, operands_of
from spps.ucode.isa import BASES, CSRS, OPS, UNUSED_CODES, memory_map

__all__ = ["random_program"]

_REGISTERS = range(1, 16)
_SPECIAL = {"trap", "eoe", "ret", "call", "jmp", "jtab", "send", "ld", "st", "setb", "getb", "csr"}
_PLAIN = [op.name for op in OPS if op.name not in _SPECIAL and op.format not in ("brr", "bri", "bit")]
_BRANCHES = [op.name for op in OPS if op.format in ("brr", "bri", "bit")]


def _constant(rng):
    return rng.choice((0, 1, 31, 32, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32), rng.getrandbits(5),
                       rng.getrandbits(12)))


def _load_constant(register, value):
    low = value & 0x1FFFF
    return [encode("li", rd=register, imm=low), encode("lih", rd=register, ra=register, imm=value >> 16)]


def _operands(rng, op, **fixed):
    values = {}
    for operand in operands_of(op):
        low, high = operand_range(operand)
        values[operand.name] = fixed.get(operand.name, rng.randint(low, high))
    return values


def random_program(rng, params, *, length=80, trap_rate=0.2):
    """Words of a program: constants, a body whose branches go forward, and an end that stores and sends everything.

    About trap_rate of the programs can trap somewhere.
    """
    places = memory_map(params.workspaces, params.event_slots)
    traps = rng.random() < trap_rate
    words = []
    for register in _REGISTERS:
        words += _load_constant(register, _constant(rng))
    # X in the scratch words, or outside the memory; other places may be in use by other events
    pointer = (places.scratch + rng.randrange(64) if rng.random() < 0.8 or not traps
               else rng.randrange(places.size, 4096))
    words += _load_constant(1, pointer) + [encode("setb", base=BASES.index("X"), ra=1)]
    end = len(words) + length
    message = False
    while len(words) < end:
        here = len(words)
        ahead = min(end, here + 1 + rng.randrange(6))
        kind = rng.random()
        if kind < 0.5:
            op = rng.choice(_PLAIN)
            words.append(encode(op, **_operands(rng, op)))
        elif kind < 0.7:
            op = rng.choice(("ld", "st"))
            base = rng.choice(BASES)
            offset = rng.randrange(64 if base in ("X", "EV") else 128 if base in ("SC", "WS") else 48)
            if base == "EV":
                offset %= 16
            words.append(encode(op, **_operands(rng, op, base=BASES.index(base), offset=offset)))
        elif kind < 0.82:
            op = rng.choice(_BRANCHES)
            words.append(encode(op, **_operands(rng, op, target=ahead)))
        elif kind < 0.86:
            op = rng.choice(("csr", "getb"))
            words.append(encode(op, **_operands(rng, op, csr=rng.choice((*CSRS.values(), rng.getrandbits(8))),
                                                base=rng.randrange(len(BASES)))))
        elif kind < 0.9:
            # call over a subroutine of two instructions, and jump around it
            if here + 5 >= end:
                continue
            words += [encode("call", target=here + 2), encode("jmp", target=here + 4),
                      encode("addi", **_operands(rng, "addi")), encode("ret")]
        elif kind < 0.93:
            words += [encode("andi", rd=2, ra=rng.choice(_REGISTERS), imm=1),
                      encode("jtab", ra=2, target=len(words) + 2)]
            words += [encode("jmp", target=len(words) + 2), encode("addi", **_operands(rng, "addi"))]
        elif kind < 0.98:
            base = rng.choice(("WS", "SC", "EV"))
            beats = rng.randint(1, 6)
            message = rng.random() < 0.4
            words.append(encode("send", base=BASES.index(base), offset=2 * rng.randrange(2), beats=beats, more=0))
            if message:     # in two parts
                words[-1] = encode("send", base=BASES.index(base), offset=0, beats=beats, more=1)
                words.append(encode("send", base=BASES.index("SC"), offset=4, beats=rng.randint(1, 32), more=0))
        elif traps:
            words.append(rng.choice((
                rng.choice(UNUSED_CODES) << 30 | rng.getrandbits(18),
                encode("trap", imm=rng.getrandbits(8)), encode("ret"),
                encode("ld", rd=3, base=rng.randrange(8), offset=511), encode("st", rb=3, base=6, offset=0),
                encode("send", base=BASES.index("SC"), offset=2 * rng.randrange(64), beats=rng.randint(1, 32), more=1),
                encode("send", base=BASES.index("SC"), offset=1, beats=1, more=0),
                encode("send", base=7, offset=0, beats=1, more=0), encode("setb", base=6, ra=1),
                encode("call", target=here), encode("jmp", target=here), encode("eoe", ra=1, rb=2),
            )))
    return words + _epilogue(rng)


def _epilogue(rng):
    """Registers, bases and all memory of the event become messages."""
    ws, ev, sc = (BASES.index(name) for name in ("WS", "EV", "SC"))
    words = [encode("st", base=sc, offset=64 + r, rb=r) for r in range(16)]
    for index in range(len(BASES)):
        words += [encode("getb", rd=4, base=index), encode("st", base=sc, offset=80 + index, rb=4)]
    words += [encode("send", base=base, offset=offset, beats=beats, more=0)
              for base, offset, beats in ((sc, 0, 32), (sc, 64, 32), (ws, 0, 32), (ws, 64, 32), (ev, 0, 8))]
    return words + [encode("eoe", ra=rng.randrange(16), rb=rng.randrange(16))]
