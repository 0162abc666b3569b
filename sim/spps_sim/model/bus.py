"""Model of the message bus: what each message of a cluster turns into."""
from collections import Counter

__all__ = ["BusModel", "event_message"]

_UNITS = {"director": 0, "lookup": 1, "socket": 2, "neighbour": 3, "cluster": 8}
(_EVENT, _DONE, _COPY, _RELEASE, _OUTPUT, _SYNC, _INSERT, _DELETE, _ESTABLISHED, _CONSUMED, _NOTE, _LEARN, _TIME_WAIT,
 _REPLAY, _COVERED) = range(1, 16)
#: messages for the lookup controller that are a header alone, and the number of the command
_SHORT = {_ESTABLISHED: 3, _NOTE: 5, _TIME_WAIT: 6, _COVERED: 7}


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

        Returns (target, what). Target "done": (beat, cluster, core). "lookup": (operation, conn, leg, half-open, key),
        key None where it does not count. "replay": (event of 512 bits, wait). "socket": the beats. "learn": (argument,
        beat). None: the message is discarded, and counted.
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
                return "lookup", (kind - _INSERT, argument & 0xFFFF, argument >> 16 & 1, argument >> 17 & 1, key)
        elif unit == _UNITS["lookup"] and kind in _SHORT:
            if len(beats) == 1:
                return "lookup", (_SHORT[kind], argument & 0xFFFF, argument >> 16 & 1, argument >> 17 & 1, None)
        elif unit == _UNITS["lookup"] and kind == _REPLAY:
            if len(beats) == 9:
                return "replay", (sum(beat << 64 * i for i, beat in enumerate(beats[1:])), argument & 1)
        elif unit == _UNITS["neighbour"] and kind == _LEARN:
            if len(beats) == 2:
                return "learn", (argument, beats[1])
        else:
            self.count["bad_unit"] += 1
            return None, None
        self.count["bad_length"] += 1
        return None, None
