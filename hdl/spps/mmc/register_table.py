"""Registers that the host writes, in block RAM."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.config import CONFIG, CONFIG_BITS, ConfigWord
from .registers import CONFIG_BASE

__all__ = ["RegisterTable"]

_PARTS, _WORDS = 4, 32          # of the table, each with so many places
_PLACES = _PARTS * _WORDS
_PLACE_BITS = exact_log2(_PLACES)
_LIVE, _RESET, _MASK = range(3)
_PART_BITS = 2


def _place(bit):
    """Return the bits of the place of a register from bit(n) of its address: five of word, two of part.

    The parts are words 0 to 31 of region 0, CONFIG, words 32 to 63 of region 0, and the masks. STATUS is not in the
    table.
    """
    return [*map(bit, range(2, 7)), bit(8), bit(9) | bit(7)]


class RegisterTable(wiring.Component):
    """Registers that the host writes, in block RAM: value, reset value and mask of each; shows the words of CONFIG.

    After a reset the reset values are copied to the values. Then the words of CONFIG are read one per clock, in turn,
    except while the host's address uses the read port.

    Parameters
    ----------
    registers : dict
        {byte address: (reset value, mask)}: any word of the first region of 256 bytes, or one of the first 32 words of
        the second and the fourth. Raises ValueError for another address.

    Members
    -------
    address : In(16), bytes
        Constant from `look` on.
    look : In(1)
        Read the mask.
    read : In(1)
        Read the value, not in the clock of `look`.
    mask : Out(32)
        From two clocks after `look` to the next one; 0: the address is not in the table.
    value : Out(32)
        In the clock after `read`.
    write, data : In(1), In(32)
        Store `data & mask`.
    cfg : Out(ConfigWord)
        One word of CONFIG.
    ready : Out(1)
        The reset values are copied; `look`, `read` and `write` must wait for it.

    Timing
    ------
    Latency: see `mask` and `value`; a change of CONFIG is shown within 32 clocks without accesses. Throughput one
    look, read or write per clock.

    Drop
    ----
    None.

    Reset
    -----
    129 clocks without `ready`.

    Source
    ------
    None. Why not flip-flops: mmc/README.md.
    """

    def __init__(self, registers):
        contents = [0] * (_PLACES << _PART_BITS)
        for address, (reset, mask) in registers.items():
            region, byte = divmod(address, 256)
            if address % 4 or region not in (0, 1, 3) or region and byte >= 4 * _WORDS:
                raise ValueError(f"register at {address:#x}: must be a word of region 0 "
                                 f"or one of the first {_WORDS} of regions 1 and 3")
            place = sum(bit << n for n, bit in enumerate(_place(lambda n, address=address: address >> n & 1)))
            contents[_RESET * _PLACES + place] = reset
            contents[_MASK * _PLACES + place] = mask
        self._contents = contents
        super().__init__({
            "address": In(16), "look": In(1), "read": In(1), "write": In(1), "data": In(32), "mask": Out(32),
            "value": Out(32),
            "cfg": Out(ConfigWord), "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=32, depth=len(self._contents), init=self._contents,
                                                   attrs={"no_rw_check": 1})
        write, read = words.write_port(), words.read_port()
        place = Signal(_PLACE_BITS)
        restore, restored, copying = Signal(range(_PLACES + 1)), Signal(_PLACE_BITS), Signal()
        walk = Signal(CONFIG_BITS)
        shown, index, looked, inside = Signal(), Signal(CONFIG_BITS), Signal(), Signal()
        m.d.comb += [
            place.eq(Cat(_place(lambda n: self.address[n]))),
            inside.eq((self.address[:2] == 0) & (self.address[10:] == 0) & (self.address[8:10] != 2)
                      & (~self.address[7] | (self.address[8:10] == 0))),
            self.ready.eq(restore[-1] & ~copying), self.value.eq(read.data), read.en.eq(1),
            self.cfg.valid.eq(shown), self.cfg.index.eq(index), self.cfg.value.eq(read.data),
        ]
        m.d.sync += [copying.eq(~restore[-1]), restored.eq(restore[:_PLACE_BITS]), looked.eq(self.look & inside),
                     shown.eq(0)]
        with m.If(~restore[-1]):
            m.d.sync += restore.eq(restore + 1)
            m.d.comb += read.addr.eq(Cat(restore[:_PLACE_BITS], Const(_RESET, _PART_BITS)))
        with m.Elif(self.look | self.read):
            m.d.comb += read.addr.eq(Cat(place, Mux(self.look, Const(_MASK, _PART_BITS), _LIVE)))
        with m.Else():
            m.d.comb += read.addr.eq(Cat(walk, Const(CONFIG_BASE >> 8, 2), Const(_LIVE, _PART_BITS)))
            with m.If(self.ready & ~self.write):        # what a port reads while the other writes it is unknown
                m.d.sync += [shown.eq(1), index.eq(walk), walk.eq(Mux(walk == len(CONFIG) - 1, 0, walk + 1))]
        with m.If(self.look):
            m.d.sync += self.mask.eq(0)
        with m.Elif(looked):
            m.d.sync += self.mask.eq(read.data)
        m.d.comb += [
            write.en.eq(copying | self.write),
            write.addr.eq(Cat(Mux(copying, restored, place), Const(_LIVE, _PART_BITS))),
            write.data.eq(Mux(copying, read.data, self.data & self.mask)),
        ]
        return m
