"""What cores did in each clock, as events: one `CoreEvent` for each, with all it executed, stored and sent."""
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from spps.layouts.activity import activity_layout
from spps.layouts.event import EVENT_WORDS
from spps.layouts.message import BEAT, MessageKind
from spps.ucode.names import STRUCTS

__all__ = ["CoreEvent", "Executed", "Message", "ActivityReader"]

SETTLED = 1000      # clocks; no message rests that long between two of its beats
_HEADER = STRUCTS["MessageHeader"]


class Executed(NamedTuple):
    """An instruction; store is None or (address in data memory, value)."""

    cycle: int
    pc: int
    store: tuple | None
    trap: bool = False


class Message(NamedTuple):
    """A message that a core has sent: cycle of its last beat, and its words as the program sent them, header first."""

    cycle: int
    kind: MessageKind
    words: list


@dataclass
class CoreEvent:
    """An event that a core processed, and where.

    Attributes
    ----------
    unit, core, workspace, leg : int
        Where it ran; `core` is the number in the unit.
    start : int
        Cycle.
    words : list, optional
        Words of the event; None if it came before the watch began.
    steps : list of Executed
    messages : list of Message
        DONE is the last.
    """

    unit: int
    core: int
    start: int
    workspace: int
    leg: int
    words: list | None
    steps: list = field(default_factory=list)       # Executed
    messages: list = field(default_factory=list)    # Message, DONE last

    @property
    def ended(self):
        """Whether DONE was sent."""
        return bool(self.messages) and self.messages[-1].kind is MessageKind.DONE

    def field(self, name):
        """Return a member of the event, by its name in layouts.event."""
        if self.words is None:
            raise ValueError(f"{name}: the event came before the watch began")
        f = STRUCTS["Event"][name]
        return self.words[f.word] >> f.lsb & (1 << f.width) - 1

    @property
    def conn(self):
        """The connection, or None for an event without one."""
        if self.words is not None:
            return None if self.field("noflow") else self.field("conn")
        return self.messages[-1].words[2] & 0xFFFF if self.ended else None


class _Struct:
    """Reads the members of an Amaranth struct out of a number."""

    def __init__(self, shape):
        self._fields = [(name, f.offset, (1 << f.width) - 1) for name, f in shape]
        self.width = shape.size

    def __call__(self, bits):
        return {name: bits >> offset & mask for name, offset, mask in self._fields}


class _Core:
    def __init__(self):
        self.arrived, self.slots = deque(), {}      # events on the bus, not committed; slot -> words
        self.open = deque()                         # CoreEvents without DONE, oldest first


class ActivityReader:
    """Turns Activities into CoreEvents; `events` has them in order of their start.

    Parameters
    ----------
    params : SppsParams
        Of the pair.
    begin : int, optional
        Cycle in which the watch began; None if nothing was on the message buses then. Otherwise the first message of
        a bus within SETTLED clocks is left out: it may be the rest of one, and nothing in it says so.
    """

    def __init__(self, params, *, begin=None):
        layout = activity_layout(params)
        cluster, core = layout[0].shape, layout[0].shape["cores"].shape[0].shape
        self._cluster_bits = cluster.size
        self._beat, self._core = _Struct(cluster["i"].shape.as_shape()), _Struct(core.as_shape())
        self._at = {name: cluster[name].offset for name in ("i", "o", "cores")}
        self._shape = params.clusters, params.cores
        self._cores, self._beats = {}, {}           # a value None: before the first end of a message
        self._begin = begin
        self.events = []

    def feed(self, activities):
        """Take (cycle, unit, bits) in order of time."""
        clusters, cores = self._shape
        for cycle, unit, bits in activities:
            for cluster in range(clusters):
                part = bits >> cluster * self._cluster_bits & (1 << self._cluster_bits) - 1
                if not part:
                    continue
                beat = (1 << self._beat.width) - 1
                self._message(cycle, unit, cluster, "i", self._beat(part >> self._at["i"] & beat))
                for core in range(cores):
                    did = part >> self._at["cores"] + core * self._core.width & (1 << self._core.width) - 1
                    if did:
                        self._did(cycle, unit, cluster * cores + core, self._core(did))
                self._message(cycle, unit, cluster, "o", self._beat(part >> self._at["o"] & beat))

    def _of(self, unit, core):
        return self._cores.setdefault((unit, core), _Core())

    def _message(self, cycle, unit, cluster, way, beat):
        if not beat["valid"]:
            return
        whole = self._begin is None or cycle - self._begin >= SETTLED
        words = self._beats.setdefault((unit, cluster, way), [] if whole else None)
        if words is not None:
            words += [beat["data"] & 0xFFFFFFFF, beat["data"] >> BEAT // 2]
        if not beat["last"]:
            return
        self._beats[unit, cluster, way] = []
        if words is None:
            return
        source = words[0] >> _HEADER["source"].lsb & (1 << _HEADER["source"].width) - 1
        core = self._of(unit, cluster * self._shape[1] + source)
        if way == "i":
            core.arrived.append(words[2:2 + EVENT_WORDS])
        elif core.open:
            event, kind = core.open[0], MessageKind(words[0] & 0xFF)
            event.messages.append(Message(cycle, kind, words))
            if kind is not MessageKind.DONE:
                return
            if event.words is not None and event.conn not in (None, words[2] & 0xFFFF):
                event.messages.clear()      # they were of an event that began before the watch
            else:
                core.open.popleft()

    def _did(self, cycle, unit, number, did):
        core = self._of(unit, number)
        if did["commit"]:
            core.slots[did["commit_slot"]] = core.arrived.popleft() if core.arrived else None
        if did["start"]:
            event = CoreEvent(unit, number, cycle, did["workspace"], did["leg"], core.slots.get(did["slot"]))
            self.events.append(event)
            core.open.append(event)
        if core.open and did["retire"] | did["trap"]:
            store = (did["address"], did["value"]) if did["store"] else None
            core.open[-1].steps.append(Executed(cycle, did["pc"], store, bool(did["trap"])))
