"""Base registers of a protocol core."""
from amaranth.hdl import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import FLOWSTATE_WORDS, LEG_BASE, LEG_STRIDE
from ..ucode.isa import BASE_BITS, BASES
from .ports import map_of, slot_meta

__all__ = ["BaseFile"]

_ROWS = 8
_L, _P, _X = (BASES.index(name) for name in ("L", "P", "X"))


class BaseFile(wiring.Component):
    """The six bases: each has the value that the event gives it until a program sets it, then that of a small memory.

    Six registers with a swap and two sources each cost three times as much.

    Parameters
    ----------
    params : SppsParams
        workspaces, event_slots.

    Members
    -------
    event, slot : In(slot_meta), In(range(event_slots))
        Of the running event.
    idle : In(1)
        No event runs: all bases but X are the event's again.
    index : In(3)
        Base that decode asks for.
    row : Out(3)
        Row where a program's value of it is kept.
    value : Out(12)
        Word address.
    set, set_row, set_value : In(1), In(3), In(12)
        `setb`.
    swap : In(1)
        `swap`: L and P change places.

    Timing
    ------
    `value` is combinational; a `setb` or `swap` of this clock is already in it.

    Reset
    -----
    As after `idle`; X keeps what it holds.

    Source
    ------
    `ucode.isa`.
    """

    def __init__(self, params):
        self._params, self._map = params, map_of(params)
        bits = (_ROWS - 1).bit_length()
        super().__init__({
            "event": In(slot_meta(params)), "slot": In((params.event_slots - 1).bit_length()), "idle": In(1),
            "index": In(bits), "row": Out(bits), "value": Out(BASE_BITS),
            "set": In(1), "set_row": In(bits), "set_value": In(BASE_BITS), "swap": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = memory.Memory(shape=BASE_BITS, depth=_ROWS, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        ours = Signal(_ROWS, init=1 << _X)      # set by the program
        swapped = Signal()                      # L is in P's row
        crossed = Signal()
        m.d.comb += [
            crossed.eq((swapped ^ self.swap) & ((self.index == _L) | (self.index == _P))),
            self.row.eq(self.index ^ Mux(crossed, _L ^ _P, 0)),
            write.addr.eq(self.set_row), write.data.eq(self.set_value), write.en.eq(self.set), read.addr.eq(self.row),
        ]
        with m.If(self.set):
            m.d.sync += ours.eq(ours | (C(1, _ROWS) << self.set_row))
        with m.If(self.swap):
            m.d.sync += swapped.eq(~swapped)
        with m.If(self.idle):
            m.d.sync += [ours.eq(1 << _X), swapped.eq(0)]

        workspace = Cat(C(0, (FLOWSTATE_WORDS - 1).bit_length()), self.event.workspace)
        assert LEG_BASE + 2 * LEG_STRIDE <= FLOWSTATE_WORDS
        legs = [workspace | Mux(self.event.leg ^ other, LEG_BASE + LEG_STRIDE, LEG_BASE) for other in range(2)]
        given = {"WS": workspace, "L": legs[0], "P": legs[1],
                 "EV": self._map.events + (self.slot << 4), "SC": C(self._map.scratch), "X": C(0)}
        table = Array(given[name] for name in BASES)
        with m.If(self.set & (self.set_row == self.row)):
            m.d.comb += self.value.eq(self.set_value)
        with m.Elif(ours.bit_select(self.row, 1)):
            m.d.comb += self.value.eq(read.data)
        with m.Else():
            m.d.comb += self.value.eq(table[self.row])
        return m
