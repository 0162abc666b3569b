"""Reference model of a protocol cluster: what its messages and flowstates must be, without time.

>>> from spps.params import TINY
>>> from spps.ucode.asm import assemble
>>> cluster = ClusterModel(TINY, assemble("eoe r0, r0").words, flowstates={5: [0] * 128})
>>> cluster.load(core=1, workspace=2, conn=5)
>>> [[hex(beat) for beat in message] for message in cluster.event(1, 2, [0, 5] + [0] * 14)]
[['0x1001002', '0x20005']]
"""
from spps.ucode.iss import CoreIss

from .core_clocks import busy_clocks

__all__ = ["ClusterModel", "header", "event_message"]

_EVENT, _DONE, _COPY, _RELEASE = 1, 2, 3, 4
_SOCKET = 2


def header(kind, *, unit=0, source=0, cluster=0, length=0, argument=0):
    """First beat of a message."""
    return kind | unit << 8 | source << 12 | cluster << 16 | length << 24 | argument << 32


def event_message(core, workspace, words, *, load):
    """Beats of the message that delivers an event of 16 words; load: a LOAD of the workspace accompanies it."""
    pairs = [low | high << 32 for low, high in zip(words[::2], words[1::2])]
    return [header(_EVENT, unit=8, source=core, length=8, argument=workspace | load << 4)] + pairs


class ClusterModel:
    """Cores that run events one after the other.

    flowstates: conn -> 128 words, read by load() and changed by write_back(). csr: mapping of CSR names to values.
    runaway: most instructions per event, 0 no limit (20 million here).
    """

    def __init__(self, params, image, *, index=0, flowstates=None, csr=None, runaway=0):
        self.params, self.index = params, index
        self.flowstates = flowstates if flowstates is not None else {}
        self.runaway = runaway or 20_000_000
        self.cores = [CoreIss(image, params.workspaces, params.event_slots,
                              dict(csr or {}, core_id=index * params.cores + number), imem_words=params.imem_words)
                      for number in range(params.cores)]
        self.traps = {}         # core -> (code, pc) of the last trap
        self.slots = [-1] * params.cores        # of the last event
        self.poisoned = set()   # (core, workspace) that a trap left half changed
        self.counters = dict.fromkeys((*(f"core{n}_{name}" for n in range(params.cores)
                                         for name in ("events", "busy_cycles")),
                                       "traps", "cut_messages", "voided", "released", "loads", "clears", "write_backs",
                                       "lines_written"), 0)

    def program(self, image):
        """Replace the program of all cores."""
        for core in self.cores:
            core.load(image)

    def load(self, core, workspace, conn):
        """DMA LOAD."""
        self.cores[core].load_workspace(workspace, self.flowstates[conn])
        self.poisoned.discard((core, workspace))
        self.counters["loads"] += 1

    def clear(self, core, workspace, conn):
        """DMA CLEAR; returns what is written to flowstate memory, as write_back()."""
        self.flowstates[conn] = [0] * 128
        self.cores[core].load_workspace(workspace, self.flowstates[conn])
        self.poisoned.discard((core, workspace))
        self.counters["clears"] += 1
        return [(conn, beat, 0) for beat in range(64)]

    def write_back(self, core, workspace, conn):
        """DMA WRITE_BACK; returns [(conn, beat, data)] in order."""
        words, dirty = self.cores[core].workspace(workspace), self.cores[core].dirty[workspace]
        written = []
        for line in range(16):
            if dirty >> line & 1:
                self.counters["lines_written"] += 1
                for beat in range(4 * line, 4 * line + 4):
                    written.append((conn, beat, words[2 * beat] | words[2 * beat + 1] << 32))
                self.flowstates[conn][8 * line:8 * line + 8] = words[8 * line:8 * line + 8]
        self.cores[core].dirty[workspace] = 0
        self.counters["write_backs"] += 1
        return written

    def event(self, core, workspace, words):
        """Run an event; return its messages (lists of beats), DONE last. After a trap the events of a flow are void."""
        self.counters[f"core{core}_events"] += 1
        self.slots[core] = slot = (self.slots[core] + 1) % self.params.event_slots
        noflow = words[1] >> 18 & 1
        if not noflow and (core, workspace) in self.poisoned:
            self.counters["voided"] += 1
            self.counters[f"core{core}_busy_cycles"] += 1
            return self._answer(core, workspace, words, [], trap=True)
        result = self.cores[core].run_event(words, workspace, max_steps=self.runaway, slot=slot, trace=True)
        self.counters[f"core{core}_busy_cycles"] += busy_clocks(result.trace)
        messages = [list(message) for message in result.messages]
        if result.unfinished:
            promised = result.unfinished[0] >> 24 & 0xFF
            messages.append(list(result.unfinished) + [0] * (2 if promised == len(result.unfinished) else 1))
            self.counters["cut_messages"] += 1
        trap = result.trap is not None
        if trap:
            self.traps[core] = result.trap, result.trap_pc
            self.counters["traps"] += 1
            if not noflow:
                self.poisoned.add((core, workspace))
        return self._answer(core, workspace, words, messages, trap=trap, result=result)

    def _answer(self, core, workspace, words, messages, *, trap, result=None):
        """Return the messages with what the hardware adds: a payload that a trap left behind, and DONE."""
        settled = any((message[0] & 0xFF == _RELEASE or message[0] & 0xFF == _COPY and not message[0] >> 32 & 1)
                      and message[0] >> 8 & 15 == _SOCKET for message in messages)
        if trap and not settled and words[8] & 0xFFFF:
            messages.append([header(_RELEASE, unit=_SOCKET, argument=words[8] >> 16)])
            self.counters["released"] += 1
        for message in messages:        # the cluster says who speaks
            message[0] = message[0] & ~(0xFF << 12) | core << 12 | self.index << 16
        noflow = words[1] >> 18 & 1
        done = words[1] & 0xFFFF | workspace << 16 | noflow << 21 | trap << 22
        if result is not None and not trap:
            done |= result.close << 20 | result.cause << 23 | result.deadline << 32
        return messages + [[header(_DONE, source=core, cluster=self.index, length=1), done]]
