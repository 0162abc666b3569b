"""Model of the message bus: what each message of a cluster turns into."""
from collections import Counter

__all__ = ["BusModel", "event_message"]

_UNITS = {"director": 0, "lookup": 1, "socket": 2, "neighbour": 3, "cluster": 8}
(_EVENT, _DONE, _COPY, _RELEASE, _OUTPUT, _SYNC, _INSERT, _DELETE, _ESTABLISHED, _CONSUMED, _NOTE,
 _LEARN) = range(1, 13)


def event_message(event, cluster, core, workspace, load):
    """The nine beats of an EVENT message for a 512-bit event."""
    header = _EVENT | (_UNITS["cluster"] + cluster) << 8 | core << 12 | cluster << 16 | 8 << 24
    header |= (workspace | load << 4) << 32
    return [header] + [event >> 64 * i & (1 << 64) - 1 for i in range(8)]


class BusModel:
    """Where each message of a cluster goes, and the counters of what goes nowhere."""

    def __init__(self):
        self.count = Counter()

    def route(self, cluster, beats):
        """Route one message.

        Returns (target, what). Target "done": (beat, cluster, core). "lookup": (operation, conn, leg, key), key None
        where it does not count. "socket": the beats. "learn": (argument, beat). None: the message is discarded, and
        counted.
        """
        header = beats[0]
        kind, unit, core, argument = header & 0xFF, header >> 8 & 15, header >> 12 & 15, header >> 32
        if unit == _UNITS["socket"] and kind in (_COPY, _RELEASE, _OUTPUT, _SYNC, _CONSUMED):
            return "socket", beats
        if unit == _UNITS["director"] and kind == _DONE:
            if len(beats) == 2:
                return "done", (beats[1], cluster, core)
        elif unit == _UNITS["lookup"] and kind in (_INSERT, _DELETE):
            if len(beats) == 3:
                key = (beats[1] | beats[2] << 64) & (1 << 116) - 1
                return "lookup", (kind - _INSERT, argument & 0xFFFF, argument >> 16 & 1, key)
        elif unit == _UNITS["lookup"] and kind in (_ESTABLISHED, _NOTE):
            if len(beats) == 1:
                return "lookup", (3 if kind == _ESTABLISHED else 5, argument & 0xFFFF, argument >> 16 & 1, None)
        elif unit == _UNITS["neighbour"] and kind == _LEARN:
            if len(beats) == 2:
                return "learn", (argument, beats[1])
        else:
            self.count["bad_unit"] += 1
            return None, None
        self.count["bad_length"] += 1
        return None, None
