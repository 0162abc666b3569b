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

_EVENT, _DONE = 1, 2


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
        self.counters = dict.fromkeys((*(f"core{n}_{name}" for n in range(params.cores) for name in ("events", "busy_cycles")), "traps", "cut_messages", "loads", "write_backs",
                                       "lines_written"), 0)

    def program(self, image):
        """Replace the program of all cores."""
        for core in self.cores:
            core.load(image)

    def load(self, core, workspace, conn):
        """DMA LOAD."""
        self.cores[core].load_workspace(workspace, self.flowstates[conn])
        self.counters["loads"] += 1

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
        """Run an event; returns its messages (lists of beats), DONE last."""
        result = self.cores[core].run_event(words, workspace, max_steps=self.runaway, trace=True)
        self.counters[f"core{core}_busy_cycles"] += busy_clocks(result.trace)
        messages = [list(message) for message in result.messages]
        self.counters[f"core{core}_events"] += 1
        if result.unfinished:
            messages.append(list(result.unfinished) + [0])
            self.counters["cut_messages"] += 1
        trap = result.trap is not None
        if trap:
            self.traps[core] = result.trap, result.trap_pc
            self.counters["traps"] += 1
        for message in messages:        # the cluster says who speaks
            message[0] = message[0] & ~(0xFF << 12) | core << 12 | self.index << 16
        conn, noflow = words[1] & 0xFFFF, words[1] >> 18 & 1
        done = conn | workspace << 16 | noflow << 21 | trap << 22
        if not trap:
            done |= result.close << 20 | result.deadline << 32
        return messages + [[header(_DONE, source=core, cluster=self.index, length=1), done]]
