"""The instruction-set simulator of one protocol core.

    >>> from spps.ucode.asm import assemble
    >>> image = assemble('''
    ...     .scratch out 2
    ...     ld   r1, EV.seq
    ...     st   WS.8, r1
    ...     st   SC.out, r1
    ...     st   SC.out+1, r0
    ...     send SC.out, 1
    ...     li   r2, 77
    ...     eoe  r2, r0
    ... ''')
    >>> core = CoreIss(image, workspaces=4, event_slots=8, csr={"now": 5})
    >>> core.load_workspace(1, [0] * 128)
    >>> event = [0] * 16
    >>> event[5] = 0x1234
    >>> result = core.run_event(event, workspace=1, leg=0)
    >>> result.messages, result.deadline, result.close, result.trap, result.dirty
    ([[4660]], 77, 0, None, 2)

For lockstep with the RTL: `start()`, then `step()` until `result` is set; `regs`, `bases`, `pc`, `stack` and `mem` are
the state between instructions.
"""
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..layouts.event import EVENT_WORDS
from ..layouts.flowstate import FLOWSTATE_WORDS, LEG_BASE, LEG_STRIDE, LINE_WORDS
from .codec import decode
from .coverage import SEEN
from .isa import BASES, CSRS, PC_BITS, REGISTERS, TrapCode, memory_map
from .names import STRUCTS
from .semantics import MASK, SEMANTICS, Trap

__all__ = ["CoreIss", "EventResult", "Step"]

_CSR_NAMES = {number: name for name, number in CSRS.items()}
_LEG, _CONN = STRUCTS["Event"]["leg"], STRUCTS["Event"]["conn"]


@dataclass
class EventResult:
    """What an event did. messages: each a list of 64-bit beats, header first.

    deadline, close, cause: of eoe. steps: instructions executed. trap: None or the code; trap_pc its address.
    unfinished: beats of a message that a trap cut short. dirty: lines written in the event's workspace, one bit each.
    trace: [Step] if asked for.
    """

    messages: list = field(default_factory=list)
    deadline: int = 0
    close: int = 0
    cause: int = 0
    steps: int = 0
    trap: int | None = None
    trap_pc: int = 0
    unfinished: list = field(default_factory=list)
    dirty: int = 0
    trace: list = field(default_factory=list)


class Step(NamedTuple):
    """One executed instruction. op is None for an unused opcode."""

    pc: int
    word: int
    op: str | None
    write: tuple | None     # (register, value); never register 0
    store: tuple | None     # (address, value)
    beats: list             # sent
    taken: bool | None      # of a conditional branch
    trap: int | None


class CoreIss:
    """A core with its data memory.

    image: an Image, or a list of words. workspaces, event_slots: as in SppsParams. csr: mapping of CSR names to
    values, or a function of a name; absent ones read as zero; `event_conn` is the event's. seed: registers and X are
    random at the start of each event, because a program must not read them before writing. coverage: a Coverage that
    is to note what is executed; default the image's own. imem_words: size of the instruction memory (power of two).
    """

    def __init__(self, image, workspaces=4, event_slots=8, csr: Any = None, *, seed: Any = 0, coverage=None,
                 imem_words=1 << PC_BITS):
        self.map = memory_map(workspaces, event_slots)
        self.workspaces, self.event_slots = workspaces, event_slots
        self.mem = [0] * self.map.size
        self.dirty = [0] * workspaces       # written lines since the last load_workspace
        self.csr = csr if csr is not None else {}
        self.coverage = coverage
        self.imem_words = imem_words
        self.random = random.Random(seed)
        self.regs, self.bases = [0] * REGISTERS, [0] * len(BASES)
        self.pc, self.stack, self.message = 0, [], []
        self.result = None
        self._slot = -1
        self.load(image)

    def load(self, image):
        """Replace the program."""
        self.words = list(getattr(image, "words", image))
        if len(self.words) > self.imem_words:
            raise ValueError(f"program of {len(self.words)} words: at most {self.imem_words}")
        self._decoded = {}
        source = image if self.coverage is None else self.coverage
        self._seen = getattr(source, "seen", None) or bytearray(self.imem_words)

    def load_workspace(self, workspace, words):
        """Put a flowstate (128 words) into a workspace; its lines are clean."""
        if len(words) != FLOWSTATE_WORDS:
            raise ValueError(f"flowstate of {len(words)} words: must be {FLOWSTATE_WORDS}")
        first = workspace * FLOWSTATE_WORDS
        self.mem[first:first + FLOWSTATE_WORDS] = words
        self.dirty[workspace] = 0

    def workspace(self, workspace):
        """Return the 128 words of a workspace."""
        return self.mem[workspace * FLOWSTATE_WORDS:(workspace + 1) * FLOWSTATE_WORDS]

    def run_event(self, event_words, workspace, leg=None, max_steps=20000, *, slot=None, trace=False):
        """Run one event to its end. leg: the event's own if None. See `start` for the rest. Returns the EventResult."""
        self.start(event_words, workspace, leg, max_steps, slot=slot)
        steps = self._result.trace
        while self.result is None:
            step = self.step()
            if trace:
                steps.append(step)
        return self.result

    def start(self, event_words, workspace, leg=None, max_steps=20000, *, slot=None):
        """Begin an event: what the hardware does at its arrival. slot: event slot, the next in turn if None."""
        if len(event_words) != EVENT_WORDS:
            raise ValueError(f"event of {len(event_words)} words: must be {EVENT_WORDS}")
        self._slot = (self._slot + 1) % self.event_slots if slot is None else slot
        event, flowstate = self.map.events + self._slot * EVENT_WORDS, workspace * FLOWSTATE_WORDS
        self.mem[event:event + EVENT_WORDS] = event_words
        if leg is None:
            leg = event_words[_LEG.word] >> _LEG.lsb & 1
        legs = [flowstate + LEG_BASE + LEG_STRIDE * n for n in (leg, 1 - leg)]
        self.bases = [flowstate, *legs, event, self.map.scratch, self.random.getrandbits(12)]
        self.regs = [0] + [self.random.getrandbits(32) for _ in range(REGISTERS - 1)]
        self.pc, self.stack, self.message = 0, [], []
        self._conn = event_words[_CONN.word] >> _CONN.lsb & 0xFFFF
        self._workspace, self._max_steps = workspace, max_steps
        self._result, self.result = EventResult(), None

    def step(self):
        """Execute one instruction and return its Step; `result` is set when the event has ended."""
        if self.result is not None:
            raise RuntimeError("the event has ended: call start")
        pc, self.next_pc = self.pc, self.pc + 1 & (1 << PC_BITS) - 1
        index = pc % self.imem_words
        word = self.words[index] if index < len(self.words) else 0
        self.written = self.stored = self.taken = trap = None
        self.sent, op = [], None
        try:
            if self._result.steps == self._max_steps:
                raise Trap(TrapCode.RUNAWAY)
            self._result.steps += 1
            op, operands, run = self._decode(word)
            run(self, **operands)
            self.pc = self.next_pc
        except Trap as error:
            trap = int(error.code)
            self._result.trap, self._result.trap_pc, self._result.unfinished = trap, pc, self.message
            self.result = self._result
        if trap is None or trap != TrapCode.RUNAWAY:
            self._seen[index] |= SEEN[self.taken]
        return Step(pc, word, op, self.written, self.stored, self.sent, self.taken, trap)

    def _decode(self, word):
        if word not in self._decoded:
            try:
                op, operands = decode(word)
            except ValueError:
                raise Trap(TrapCode.UNUSED_OPCODE) from None
            self._decoded[word] = op, operands, SEMANTICS[op]
        return self._decoded[word]

    # used by the semantics
    def write(self, register, value):
        """Write a register; r0 stays zero."""
        if register:
            self.regs[register] = value & MASK
            self.written = register, value & MASK

    def store(self, address, value):
        """Write a word of data memory; a line of a workspace becomes dirty."""
        self.mem[address] = value
        self.stored = address, value
        if address < self.map.events:
            workspace, word = divmod(address, FLOWSTATE_WORDS)
            line = 1 << word // LINE_WORDS
            self.dirty[workspace] |= line
            if workspace == self._workspace:
                self._result.dirty |= line

    def read_csr(self, number):
        """Return a CSR; 0 for a number that has none."""
        name = _CSR_NAMES.get(number)
        if name == "event_conn":
            return self._conn
        if name is None:
            return 0
        value: Any = self.csr(name) if callable(self.csr) else self.csr.get(name, 0)
        return value & MASK

    def send(self, beats, more):
        """Add beats to the message; without `more` it is complete."""
        self.sent = beats
        self.message = self.message + beats
        if not more:
            self._result.messages.append(self.message)
            self.message = []

    def finish(self, deadline, close, cause):
        """End the event."""
        self._result.deadline, self._result.close, self._result.cause = deadline, close, cause
        self.result = self._result
