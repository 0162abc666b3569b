"""Events of a connection as text: what came, the microcode lines it executed, what changed, what was sent.

Sequence numbers are relative to the initial ones (`iss+n`, `irs+n`) as soon as these have been seen.
"""
import re
from functools import cached_property

from spps.layouts.event import EventKind, TimerCause
from spps.layouts.flowstate import (
    FLOWSTATE_WORDS,
    LEG,
    LEG_BASE,
    LEG_STRIDE,
    LINE_WORDS,
    SHARED,
    ConnFlag,
)
from spps.layouts.headers import ArpOperation
from spps.layouts.message import MessageKind
from spps.layouts.output import OutputFlag
from spps.ucode.isa import memory_map
from spps.ucode.names import STRUCTS
from spps.ucode.programs import MAIN

from ..checker.wire import STATE, parse_sync
from ..model.functional import Output

__all__ = ["Tracer", "TraceEntry"]

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
#: members of a leg that hold numbers of ours, and of the peer
OURS = {"snd_nxt", "snd_max", "snd_una", "snd_end", "rtt_seq", "recover", "sacked_left", "sacked_right"}
THEIRS = {"rcv_nxt", "permitted_ack", "right_edge", "snd_wl1", "fin_kept", "hint", "ts_mark"}
RECORDS = ("delta", "full", "retire")
FULL = RECORDS.index("full")
MASK = 0xFFFFFFFF
NEAR = 1 << 24          # a number farther from the initial one is something else, as before the handshake


class ProgramNames:
    """Names that the program itself gives, from common.uasm.

    `states` are those of a leg; `bits` are, for each member that is a set of flags, the names of its bits.
    """

    def __init__(self):
        text = MAIN.with_name("common.uasm").read_text()
        parts = {}
        for part in text.split("; --- ")[1:]:
            numbers = re.findall(r"^\.equ\s+(\w+)\s+(\d+)\s*(?:;|$)", part, re.M)
            of = part.split()[2 if part.startswith("bits of") else 0]
            parts[of] = {int(number): name for name, number in numbers}
        self.states = parts["L.state"]
        self.bits = {"leg_flags": parts["L.leg_flags"], "misc": parts["WS.misc"],
                     "flags": {bit: name for name, bit in vars(ConnFlag).items() if not name.startswith("_")}}

    def value(self, name, value):
        """Return a value by its names, or None."""
        if name == "state":
            return self.states.get(value)
        if name in self.bits:
            known = self.bits[name]
            return "{" + " ".join(known.get(bit, str(bit)) for bit in range(32) if value >> bit & 1) + "}"
        return None


def flags_text(flags):
    return " ".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1) or "no flags"


class TraceEntry:
    """One event as text.

    Attributes
    ----------
    head : str
        One line.
    steps, changes, sent : list of str
        Instructions, changes of state, messages.
    conn, unit, start
        Of the event.
    """

    def __init__(self, event, head, steps, changes, sent):
        self.unit, self.start, self.conn = event.unit, event.start, event.conn
        self.head, self.steps, self.changes, self.sent = head, steps, changes, sent

    def text(self, steps=True):
        """Return the lines of the event, with `steps` or without."""
        lines = [self.head, *(f"    {line}" for line in self.steps if steps)]
        lines += [f"  state  {line}" for line in self.changes] + [f"  sent   {line}" for line in self.sent]
        return "\n".join(lines) + "\n"


class Tracer:
    """Puts CoreEvents into words, in order: what a word held before is known from earlier events.

    Parameters
    ----------
    params : SppsParams
        Of the pair.
    image : Image
        The program of the pair.
    """

    def __init__(self, params, image):
        self.image, self.program = image, ProgramNames()
        self._map = memory_map(params.workspaces, params.event_slots)
        self._known = {}        # (unit, conn, word) -> value

    @cached_property
    def _names(self):
        """Names of the words of a flowstate: word -> (place, name)."""
        names = {f.word: ("", name) for name, f in SHARED.items()}
        for leg in (0, 1):
            for name, f in LEG.items():
                names.setdefault(LEG_BASE + LEG_STRIDE * leg + f.word, (f"leg {leg} ", name))
        return names

    def learn(self, frames):
        """Take the initial numbers of connections from full records; both units have them."""
        for frame in frames:
            sync = parse_sync(frame.data) if frame.link == "sync" else None
            if sync and sync.type == STATE and sync.kind == FULL:
                for leg in (0, 1):
                    first = LEG_BASE + LEG_STRIDE * leg
                    for name in ("iss", "irs"):
                        line, word = divmod(first + LEG[name].word, LINE_WORDS)
                        for unit in (0, 1):
                            self._known[unit, sync.conn, first + LEG[name].word] = sync.lines[line][word]

    def entry(self, event):
        """Return the TraceEntry of an event that has ended."""
        before = dict(self._known)
        written = {}
        steps = []
        for step in event.steps:
            steps.append(self._step(event, step, written))
        changes = self._changes(event, written, before)
        sent = [line for message in event.messages if (line := self._message(event, message))]
        return TraceEntry(event, self._head(event), steps, changes, sent)

    # numbers ---------------------------------------------------------------------------------
    def _relative(self, event, leg, value, base):
        """Return a sequence number relative to `iss` or `irs` of a leg, if that is known."""
        start = self._known.get((event.unit, event.conn, LEG_BASE + LEG_STRIDE * leg + LEG[base].word))
        if start is None:
            return f"{value:#x}"
        distance = (value - start + NEAR & MASK) - NEAR
        return f"{base}{distance:+}" if distance < NEAR else f"{value:#x}"

    def _value(self, event, word, value):
        if value is None:
            return "?"
        place, name = self._names.get(word, ("", ""))
        if (named := self.program.value(name, value)) is not None:
            return named
        if name in OURS | THEIRS:
            return self._relative(event, int(place[4]), value, "iss" if name in OURS else "irs")
        return str(value) if value < 1 << 16 else f"{value:#x}"

    # parts of an entry -----------------------------------------------------------------------
    def _head(self, event):
        where = f"cycle {event.start}  unit {event.unit} core {event.core}"
        length = f"{len(event.steps)} instructions in {event.messages[-1].cycle - event.start} cycles"
        if event.words is None:
            return f"{where}  an event from before the trace  ({length})"
        kind = EventKind(event.field("kind"))
        text = kind.name
        if event.conn is not None:
            text = f"conn {event.conn} leg {event.leg}  {text}"
        if kind is EventKind.TCP:
            seq, ack = event.field("seq"), event.field("ack")
            if event.conn is not None:
                seq, ack = self._relative(event, event.leg, seq, "irs"), self._relative(event, event.leg, ack, "iss")
            text += (f" {flags_text(event.field('tcp_flags'))} seq={seq} ack={ack} len={event.field('payload_len')}"
                     f" wnd={event.field('window')}" + (" new" if event.field("new") else ""))
        elif kind is EventKind.TIMER:
            text += f" {TimerCause(event.field('subtype')).name} now={event.field('seq')}"
        return f"{where}  {text}  ({length})"

    def _step(self, event, step, written):
        line = self.image.source.get(step.pc)
        text = f"{line.place:<20}{' '.join(line.text.split())}" if line else "nothing here"
        effect = ""
        if step.store is not None:
            address, value = step.store
            workspace, word = divmod(address, FLOWSTATE_WORDS)
            if address < self._map.events and workspace == event.workspace:
                written[word] = value
                self._known[event.unit, event.conn, word] = value
                effect = f"{''.join(self._names.get(word, ('', f'word {word}')))} = {self._value(event, word, value)}"
        return f"{step.cycle - event.start:>5}  {text:<70}{effect}".rstrip() + ("  TRAP" if step.trap else "")

    def _changes(self, event, written, before):
        places = {}
        for word, value in sorted(written.items()):
            old = before.get((event.unit, event.conn, word))
            if old != value:
                place, name = self._names.get(word, ("", f"word {word}"))
                change = f"{name} {self._value(event, word, old)} -> {self._value(event, word, value)}"
                places.setdefault(place, []).append(change)
        return [f"{(place or 'connection ').strip()}: {', '.join(changes)}" for place, changes in places.items()]

    def _message(self, event, message):
        words, at = message.words, f"+{message.cycle - event.start}"
        if message.kind is MessageKind.OUTPUT:
            out = Output(words)
            if out.flags & OutputFlag.ARP:
                what = "request" if out.tcp_flags == ArpOperation.REQUEST.value else "reply"
                return f"{at} ARP {what} on port {out.iface}"
            seq, ack = f"{out.seq:#x}", f"{out.ack:#x}"
            if event.conn is not None:
                leg = self._leg_of(event, out)
                seq, ack = self._relative(event, leg, out.seq, "iss"), self._relative(event, leg, out.ack, "irs")
            gated = ", behind the record" if out.flags & OutputFlag.GATED else ""
            return (f"{at} segment on port {out.iface}: {flags_text(out.tcp_flags)} seq={seq} ack={ack} "
                    f"len={out.length} wnd={out.window}{gated}")
        if message.kind is MessageKind.SYNC:
            return f"{at} {RECORDS[words[1] >> 16 & 3]} record for the standby"
        if message.kind is MessageKind.COPY:
            return (f"{at} copy {words[3] & 0xFFFF} bytes of payload {words[2] & 0xFFFF} to ring {words[5] >> 16 & 1} "
                    f"at offset {words[4]}")
        if message.kind is MessageKind.RELEASE:
            return f"{at} release payload {words[1] & 0xFFFF}"
        if message.kind is MessageKind.DONE:
            closed = ", the connection is over" if words[2] >> STRUCTS["Done"]["close"].lsb & 1 else ""
            return f"{at} done, next deadline {words[3] or 'none'}{closed}"
        return f"{at} {message.kind.name} {' '.join(f'{w:#x}' for w in words[1:])}"

    def _leg_of(self, event, out):
        """Return the leg an output leaves on. It carries what the other leg receives; an endpoint has leg 0 only."""
        flags = self._known.get((event.unit, event.conn, SHARED["flags"].word), 1 << ConnFlag.PROXIED)
        return 1 - out.direction if flags >> ConnFlag.PROXIED & 1 else 0
