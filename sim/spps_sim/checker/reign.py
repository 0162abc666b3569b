"""The time in which one unit is the active: what it depends on and what its standby has confirmed.

Derived from the published sync format only (hdl/spps/failover/README.md). Nothing is imported from the RTL packages.

Record numbers are 32 bits wide and are compared modulo 2^32. Methods that judge return the texts of what is wrong.
"""
from .holding import Holding
from .wire import ECHO, END, FULL, RETIRE, before

__all__ = ["Reign"]


class _Record:
    """A record on the sync link that is not confirmed yet."""

    def __init__(self, sync, commitments):
        self.content = sync.conn, sync.kind, sync.lines
        self.full, self.end = sync.kind == FULL, sync.kind == END
        self.commitments = commitments      # (leg, offset) of both legs


class Reign:
    """One unit as the active, in one epoch.

    Parameters
    ----------
    unit : int, optional
        The active; None until a frame of it is seen.
    epoch : int, optional
        None while only segments have shown the takeover: the first heartbeat comes later.
    depends : bool
        Whether the unit depends on echoes, until a heartbeat says it.
    base : int, optional
        The last record that this unit has confirmed as the standby: its own records have later numbers.
    lossy : bool
        An echo that was sent may not have arrived.
    """

    def __init__(self, unit=None, epoch=None, depends=True, base=None, *, lossy=False):
        self.lossy = lossy
        self.unit, self.epoch, self.depends, self.base = unit, epoch, depends, base
        self.issued = base          # highest number that the active has named
        self.applied = None         # last record that the standby says it has applied
        self.highest = None         # highest number that has been confirmed, whatever became of the standby since
        self.life = 0               # how often the standby has begun anew
        self.unanswered = False     # the last heartbeat that depends on echoes got no echo that grants a lease
        self.yielded = False        # it has handed its role over, and not taken it back
        self._open = {}             # number -> _Record, on the link and not confirmed
        self._holdings = {}         # leg -> Holding
        self._owed = ()             # legs of connections that END says the standby has
        self._doubts = []           # (time, text): see doubt()

    # what the active sends ---------------------------------------------------------------------
    def heartbeat(self, sync):
        """Take a HEARTBEAT of the active."""
        wrong = []
        if self.issued is not None and before(sync.number, self.issued):
            wrong.append(f"unit {self.unit} says that {sync.number} is its last record, after {self.issued}")
        else:
            self.issued = sync.number
        depends = bool(sync.kind & 1)
        if depends and not self.depends:
            for leg, holding in self._holdings.items():
                holding.free = max(holding.free, leg.ours.acked if leg.ours else 0)
        if not depends:
            self._doubts.clear()
        self.depends = self.unanswered = depends
        self.yielded = False
        return wrong

    def handover(self, sync):
        """Take a HANDOVER of the active: from here on it emits nothing, and the standby has every record."""
        again, self.yielded = self.yielded, True
        missing = [number for number in self._open if not before(sync.number, number)]
        if missing and not again:
            return [f"unit {self.unit} hands over at record {sync.number}; {missing[0]} is not confirmed"]
        if self.issued is not None and before(sync.number, self.issued):
            return [f"unit {self.unit} hands over at record {sync.number}, after {self.issued}"]
        return []

    def start(self, sync, legs):
        """Take a START of the active: its standby takes records from `number` on, and knows none before.

        legs: of the connections that are established by now. They need a full record before END. It goes on without
        the standby until it hears an echo, which its next heartbeat tells.
        """
        self._owed = legs
        if not sync.kind & 1:
            # since the JOIN the active has been alone, and what it has committed by now needs no confirmation
            self.depends = self.unanswered = False
            self._doubts.clear()
            for leg in self._holdings:
                leg.born = None
            self._holdings.clear()
        if self.issued is not None and before(sync.number, self.issued):
            return [f"unit {self.unit} starts its standby at record {sync.number}, after {self.issued}"]
        self.issued = self.applied = sync.number
        self._open.clear()
        return []

    def record(self, sync, legs):
        """Take a STATE frame of the active; legs: those of its connection that are known, else None."""
        number = sync.number
        if self.base is not None and not before(self.base, number):
            return [f"unit {self.unit} issues record {number}; it had applied {self.base} before it took over"]
        if self.issued is None or before(self.issued, number):
            self.issued = number
        if self.applied is not None and not before(self.applied, number):
            return []                   # sent again without need
        if sync.kind == RETIRE:
            commitments = []
            for leg in legs:
                self.forget(leg)
        else:
            commitments = [(leg, leg.ours.offset(sync.snd_una(side))) for side, leg in enumerate(legs)
                           if leg and leg.ours]
        record = _Record(sync, commitments)
        if number in self._open and self._open[number].content != record.content:
            return [f"unit {self.unit} issues record {number} twice, with different contents"]
        self._open[number] = record
        if sync.kind == FULL:
            said = dict(commitments)
            for leg in filter(None, legs):      # our SYN on it may still have to come
                self._holdings.setdefault(leg, Holding(0 if leg.born is self else said.get(leg, 0)))
        return []

    def forget(self, leg):
        """Drop what is known of a leg: its connection is over."""
        self._holdings.pop(leg, None)

    def restart(self, leg):
        """Take back the offsets of a leg: they were counted from the ISN of an older connection."""
        if leg in self._holdings:
            self._holdings[leg] = Holding(0)
        for record in self._open.values():
            record.commitments = [one for one in record.commitments if one[0] is not leg]

    # what the standby sends --------------------------------------------------------------------
    def answer(self, sync):
        """Take a CONFIRM or an ECHO of the standby in this epoch; either confirms all records up to its number."""
        number, ended = sync.number, False
        if self.issued is None or before(self.issued, number):
            return []                   # what was never issued cannot be confirmed
        if self.applied is not None and before(number, self.applied):
            self.standby_begins_anew()
        self.applied = number
        if self.highest is None or before(self.highest, number):
            self.highest = number
        if sync.type == ECHO and number == self.highest:
            self.unanswered = False
        for key in [key for key in self._open if not before(number, key)]:
            record = self._open.pop(key)
            ended |= record.end
            for leg, offset in record.commitments:
                leg.known = True
                if leg in self._holdings:
                    self._holdings[leg].confirm(offset, self.life if record.full else None)
        if not ended:
            return []
        owed, self._owed = self._owed, ()
        return [f"unit {self.unit} ends a resynchronization without a full record of the connection of the {leg.name()}"
                for leg in owed if leg.lives() and not self._stored(leg)]

    def standby_begins_anew(self):
        """Note that the standby has lost what it knew: a confirmation has gone back, or it joins again."""
        self.life += 1
        self._open.clear()

    # conclusions -------------------------------------------------------------------------------
    def lacks(self, leg, offset):
        """Return what is wrong with an ACK to the source of what *we* sent on `leg` up to `offset`, else None."""
        holding = self._holdings.get(leg)
        if holding is None or not self.depends or holding.covers(offset):
            return None
        return f"acknowledges offset {offset}; the standby confirmed {holding.stored}"

    def protects(self, leg):
        """Return whether the standby has a confirmed full record of the connection of `leg`, and is depended on."""
        return self.depends and self._stored(leg)

    def _stored(self, leg):
        """Return whether the standby has confirmed a full record of the connection of `leg`."""
        holdings = [self._holdings[one] for one in (leg, leg.other) if one in self._holdings]
        return any(holding.life == self.life for holding in holdings)

    def doubt(self, time, text):
        """Take what is wrong if the unit still depends on echoes; return whether that is not certain yet.

        A unit whose lease has ended may run unprotected before its next heartbeat says so. While its last heartbeat
        has no echo, or has one that may be lost, that next one decides.
        """
        uncertain = self.unanswered or self.lossy
        if uncertain:
            self._doubts.append((time, text))
        return uncertain

    def settle(self):
        """Return (time, text) of every doubt that nothing has removed."""
        doubts, self._doubts = self._doubts, []
        return doubts
