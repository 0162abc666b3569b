"""Which lines of the workspaces have been written since they were loaded."""
from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import FLOWSTATE_WORDS, LINE_WORDS, LINES
from .ports import map_of

__all__ = ["DirtyLines"]


class DirtyLines(wiring.Component):
    """One bit per line of each workspace of a core, set by a store and cleared by the DMA.

    Parameters
    ----------
    params : SppsParams
        workspaces, event_slots.

    Members
    -------
    store : In(1)
        The core has written the word at `address`.
    address : In(range(words))
        Word address in the data memory.
    clean : In(16)
        Lines of `workspace` to clear.
    workspace : In(range(workspaces))
        Workspace of `clean`.
    lines : Out(ArrayLayout(16, workspaces))
        Dirty lines.

    Timing
    ------
    1 clock. A store wins over `clean` of the same line.

    Reset
    -----
    All clean.

    Source
    ------
    Architecture rule "write back only changed lines".
    """

    def __init__(self, params):
        self._params = params
        super().__init__({
            "store": In(1), "address": In((map_of(params).size - 1).bit_length()),
            "clean": In(LINES), "workspace": In((params.workspaces - 1).bit_length()),
            "lines": Out(data.ArrayLayout(LINES, params.workspaces)),
        })

    def elaborate(self, platform):
        m = Module()
        lines_per_workspace = FLOWSTATE_WORDS // LINE_WORDS
        assert lines_per_workspace == LINES
        written = self.address >> (LINE_WORDS - 1).bit_length()     # line number over all workspaces
        for workspace in range(self._params.workspaces):
            hit = self.workspace == workspace
            m.d.sync += self.lines[workspace].eq(Cat(
                (self.lines[workspace][line] & ~(hit & self.clean[line]))
                | (self.store & (written == workspace * LINES + line)) for line in range(LINES)))
        return m
