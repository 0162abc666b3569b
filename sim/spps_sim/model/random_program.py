"""Random legal microcode programs that end, for lockstep of the RTL core with the instruction-set simulator.

    >>> image = random_program(seed=1)
    >>> image.words == random_program(seed=1).words
    True

Every program writes all registers and X before it reads them, keeps addresses inside the data memory, closes its
messages, and ends with eoe, or with the trap asked for. Loops are counted, calls go only to later subroutines.
"""
import random

from spps.ucode.asm import assemble
from spps.ucode.isa import CSRS, OPS, RETURN_STACK, UNUSED_CODES, TrapCode, memory_map

__all__ = ["random_program", "STEADY_CSRS"]

#: CSRs that do not change while a program runs, so that RTL and simulator read the same
STEADY_CSRS = tuple(name for name in CSRS if name not in ("now", "cycles", "isn_clock"))

_FREE = range(1, 12)            # registers for data; 12 counts loops, 13 and 14 hold addresses and indices
_COUNTER, _ADDRESS, _INDEX = "r12", "r13", "r14"
_WORDS = {"WS": 128, "L": 48, "P": 48, "EV": 16, "SC": 128, "X": 64}     # of a base that are safe to use
_EDGES = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF, 0x1_0000)


def random_program(seed, blocks=12, workspaces=4, event_slots=8, csrs=STEADY_CSRS, trap=None, roam=False):
    """Return an Image from a seed.

    blocks: pieces of the main program. csrs: names it may read. roam: X may point anywhere, also at other workspaces
    and event slots, which hardware may be filling; else only at the event's own workspace and the scratch. trap: None,
    a TrapCode or a code below 0xF0 with which it must end; TrapCode.RUNAWAY needs a small limit of steps.
    """
    return assemble(_Writer(random.Random(seed), memory_map(workspaces, event_slots), csrs, roam).program(blocks, trap))


class _Writer:
    def __init__(self, rng, memory, csrs, roam):
        self.rng, self.memory, self.csrs, self.roam = rng, memory, csrs, roam
        self.lines, self._labels = [], 0

    def emit(self, *lines):
        self.lines += lines

    def label(self):
        self._labels += 1
        return f"l{self._labels}"

    def reg(self):
        return f"r{self.rng.choice((0, 15, *_FREE, *_FREE))}"

    def program(self, blocks, trap):
        for n in range(1, 16):
            value = self.rng.choice((self.rng.choice(_EDGES), self.rng.getrandbits(32)))
            self.emit(f"la r{n}, {value:#x}")
        self.set_pointer()
        self.subroutines = [self.label() for _ in range(RETURN_STACK)]
        for _ in range(blocks):
            self.block(depth=0)
        self.end(trap)
        for depth, name in enumerate(self.subroutines, 1):
            self.emit(f"{name}:")
            for _ in range(self.rng.randint(1, 2)):
                self.block(depth)
            self.emit("ret")
        return "\n".join(self.lines)

    def end(self, trap):
        if trap is None:
            self.emit(f"eoe {self.reg()}, {self.reg()}")
        elif trap == TrapCode.UNUSED_OPCODE:
            self.emit(f".word {self.rng.choice(UNUSED_CODES) << 30 | self.rng.getrandbits(30):#x}")
        elif trap == TrapCode.BAD_BASE:
            base = self.rng.choice((6, 7))
            code = self.rng.choice([o.code for o in OPS if o.name in ("ld", "st", "setb", "getb")])
            self.emit(f".word {code << 30 | base << 9:#x}")
        elif trap == TrapCode.ODD_SEND:
            self.emit(f"send {self.rng.choice(('WS', 'L', 'P', 'EV', 'SC'))}.{2 * self.rng.randrange(4) + 1}, 1")
        elif trap == TrapCode.RETURN_STACK:
            name = self.label()
            self.emit(*(["ret"] if self.rng.random() < 0.5 else [f"{name}: call {name}"]))
        elif trap == TrapCode.BAD_ADDRESS:
            self.emit(f"li {_ADDRESS}, {self.memory.size - 2}", f"setb X, {_ADDRESS}",
                      self.rng.choice(("ld r1, X.2", "st X.400, r1", "send X.0, 2")))
        elif trap == TrapCode.RUNAWAY:
            name = self.label()
            self.emit(f"{name}: addi r1, r1, 1", f"jmp {name}")
        elif trap == TrapCode.OPEN_MESSAGE:
            self.emit("send SC.0, 2, 1", "eoe r0, r0")
        else:
            self.emit(f"trap {int(trap)}")

    # blocks
    def block(self, depth):
        kinds = [self.straight, self.straight, self.memory_block, self.message, self.skip, self.pointers, self.table]
        if depth == 0:
            kinds.append(self.loop)
        if depth < RETURN_STACK:
            kinds += [lambda: self.call(depth)] * (2 if depth == 0 else 1)
        self.rng.choice(kinds)()

    def straight(self, least=2, most=8):
        for _ in range(self.rng.randint(least, most)):
            self.emit(self.instruction())

    def instruction(self):
        """One instruction without a jump or memory access that writes a data register."""
        rng, d, a, b = self.rng, f"r{self.rng.choice(_FREE)}", self.reg(), self.reg()
        kind = rng.randrange(8)
        if kind < 3:
            op = rng.choice(("add", "sub", "and", "or", "xor", "shl", "shr", "oadd", "minu", "smin", "smax"))
            return f"{op} {d}, {a}, {b}"
        if kind == 3:
            return f"{rng.choice(('andi', 'ori', 'xori', 'shli', 'shri', 'lih'))} {d}, {a}, {rng.getrandbits(18)}"
        if kind == 4:
            op = rng.choice(("addi {d}, {a}, {n}", "li {d}, {n}"))
            return op.format(d=d, a=a, n=rng.randrange(-1 << 17, 1 << 17))
        if kind == 5:
            return f"ext {d}, {a}, {rng.randrange(32)}, {rng.randint(1, 32)}"
        if kind == 6:
            return f"ins {d}, {a}, {b}, {rng.randrange(32)}, {rng.randint(1, 32)}"
        return f"csr {d}, {rng.choice(self.csrs)}"

    def memory_block(self):
        for _ in range(self.rng.randint(2, 8)):
            base = self.rng.choice(list(_WORDS))
            place = f"{base}.{self.rng.randrange(_WORDS[base])}"
            load, store = f"ld r{self.rng.choice(_FREE)}, {place}", f"st {place}, {self.reg()}"
            self.emit(self.rng.choice((load, store, self.instruction())))

    def message(self):
        for more in [1] * self.rng.randint(0, 2) + [0]:
            base = self.rng.choice(list(_WORDS))
            beats = self.rng.randint(1, min(9, _WORDS[base] // 2))
            self.emit(f"send {base}.{2 * self.rng.randint(0, _WORDS[base] // 2 - beats)}, {beats}, {more}")
            if self.rng.random() < 0.5:
                self.emit(self.instruction())

    def branch(self, target):
        rng, a, b = self.rng, self.reg(), self.reg()
        op = rng.choice(("beq", "bne", "bltu", "bgeu", "bslt", "bsge", "beqi", "bnei", "bbs", "bbc"))
        if op in ("beqi", "bnei"):
            b = rng.randrange(-32, 32)
        elif op in ("bbs", "bbc"):
            b = rng.randrange(32)
        return f"{op} {a}, {b}, {target}"

    def skip(self):
        """Add a forward branch over a few instructions; sometimes a second one into the middle."""
        end, middle = self.label(), self.label()
        self.emit(self.branch(end))
        self.straight(1, 3)
        self.emit(self.branch(middle), self.branch(end))
        self.straight(0, 2)
        self.emit(f"{middle}:")
        self.straight(0, 2)
        self.emit(f"{end}:")

    def loop(self):
        start = self.label()
        self.emit(f"li {_COUNTER}, {self.rng.randint(1, 4)}", f"{start}:")
        self.rng.choice((self.straight, self.memory_block, self.message, self.skip))()
        self.emit(f"subi {_COUNTER}, {_COUNTER}, 1", f"bnez {_COUNTER}, {start}")

    def call(self, depth):
        self.emit(f"call {self.rng.choice(self.subroutines[depth:])}")

    def table(self):
        end, table, cases = self.label(), self.label(), [self.label() for _ in range(4)]
        self.emit(f"andi {_INDEX}, {self.reg()}, 3", f"jtab {_INDEX}, {table}", f"{table}:")
        self.emit(*(f"jmp {case}" for case in cases))
        for case in cases:
            self.emit(f"{case}:", self.instruction(), *([f"jmp {end}"] if self.rng.random() < 0.7 else []))
        self.emit(f"{end}:")

    def set_pointer(self):
        """X somewhere from where all of its safe words exist; even, so that messages can be sent."""
        if self.roam:
            self.emit(f"li {_ADDRESS}, {2 * self.rng.randint(0, (self.memory.size - _WORDS['X']) // 2)}")
        else:
            base = self.rng.choice(("WS", "SC"))
            spare = (_WORDS[base] - _WORDS["X"]) // 2
            self.emit(f"getb {_ADDRESS}, {base}", f"addi {_ADDRESS}, {_ADDRESS}, {2 * self.rng.randint(0, spare)}")
        self.emit(f"setb X, {_ADDRESS}")

    def pointers(self):
        kind = self.rng.randrange(4)
        if kind == 0:
            self.emit("swap")
        elif kind == 1:
            self.set_pointer()
        elif kind == 2:
            self.emit(f"getb r{self.rng.choice(_FREE)}, {self.rng.choice(list(_WORDS))}")
        else:
            # 48 + 16 words follow a leg
            self.emit(f"getb {_ADDRESS}, {self.rng.choice(('L', 'P'))}", f"setb X, {_ADDRESS}")
