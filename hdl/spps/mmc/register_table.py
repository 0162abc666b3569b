"""Registers that the host writes, in block RAM."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.config import CONFIG, CONFIG_BITS, ConfigWord
from .registers import CONFIG_BASE

__all__ = ["RegisterTable"]

_WORDS, _PARTS = 32, 5          # of a part of the table, and parts
_PLACES = _PARTS * _WORDS
_PLACE_BITS, _ROW_BITS = exact_log2(_WORDS) + 3, exact_log2(_WORDS) + 4
#: kinds of a word: its bits, lowest first
_LIVE, _RESET, _MASK = (0, 0), (1, 0), (0, 1)


def _place(bit):
    """Return the bits of the place of a register from bit(n) of its address: five of word, two of part, "part 4".

    The parts are words 0 to 31 of region 0, of CONFIG, words 32 to 63 of region 0, the masks, and words 32 to 63 of
    CONFIG. STATUS is not in the table.
    """
    return [*map(bit, range(2, 7)), bit(8), bit(9) | bit(7), bit(8) & ~bit(9) & bit(7)]


def _row(place, kind):
    """Return the bits of the row of memory. Part 4 has the rows that a fourth kind of the other parts would have."""
    *word, low, high, last = place
    return [*word, *(last & a | ~last & b for a, b in zip((*kind, 1, 1), (low, high, *kind)))]


class RegisterTable(wiring.Component):
    """Registers that the host writes, in block RAM: value, reset value and mask of each; shows the words of CONFIG.

    After a reset the reset values are copied to the values. Then the words of CONFIG are read one per clock, in turn,
    except while the host's address uses the read port.

    Parameters
    ----------
    registers : dict
        {byte address: (reset value, mask)}: any word of the first and second region of 256 bytes, or one of the first
        32 words of the fourth. Raises ValueError for another address.

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
    Latency: see `mask` and `value`; a change of CONFIG is shown within as many clocks without accesses as it has words.
    Throughput one look, read or write per clock.

    Drop
    ----
    None.

    Reset
    -----
    161 clocks without `ready`.

    Source
    ------
    None. Why not flip-flops: mmc/README.md.
    """

    def __init__(self, registers):
        contents = [0] * (1 << _ROW_BITS)
        for address, (reset, mask) in registers.items():
            region, byte = divmod(address, 256)
            if address % 4 or region not in (0, 1, 3) or region == 3 and byte >= 4 * _WORDS:
                raise ValueError(f"register at {address:#x}: must be a word of regions 0 and 1 "
                                 f"or one of the first {_WORDS} of region 3")
            place = _place(lambda n, address=address: address >> n & 1)
            for kind, value in ((_RESET, reset), (_MASK, mask)):
                contents[sum(bit << n for n, bit in enumerate(_row(place, kind)))] = value
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
        place, walk = Signal(_PLACE_BITS), Signal(CONFIG_BITS)
        restore, restored, copying = Signal(range(_PLACES + 1)), Signal(_PLACE_BITS), Signal()
        shown, index, looked, inside, restoring = Signal(), Signal(CONFIG_BITS), Signal(), Signal(), Signal()
        m.d.comb += [
            place.eq(Cat(_place(lambda n: self.address[n]))), restoring.eq(restore != _PLACES),
            inside.eq((self.address[:2] == 0) & (self.address[10:] == 0) & (self.address[8:10] != 2)
                      & (~self.address[7] | ~self.address[9])),
            self.ready.eq(~restoring & ~copying), self.value.eq(read.data), read.en.eq(1),
            self.cfg.valid.eq(shown), self.cfg.index.eq(index), self.cfg.value.eq(read.data),
        ]
        m.d.sync += [copying.eq(restoring), restored.eq(restore), looked.eq(self.look & inside), shown.eq(0)]
        with m.If(restoring):
            m.d.sync += restore.eq(restore + 1)
            m.d.comb += read.addr.eq(Cat(_row(restore, _RESET)))
        with m.Elif(self.look | self.read):
            m.d.comb += read.addr.eq(Cat(_row(place, (0, self.look))))     # _MASK or _LIVE
        with m.Else():
            config = CONFIG_BASE + (walk << 2)
            m.d.comb += read.addr.eq(Cat(_row(_place(lambda n: config[n]), _LIVE)))
            with m.If(self.ready & ~self.write):        # what a port reads while the other writes it is unknown
                m.d.sync += [shown.eq(1), index.eq(walk), walk.eq(Mux(walk == len(CONFIG) - 1, 0, walk + 1))]
        with m.If(self.look):
            m.d.sync += self.mask.eq(0)
        with m.Elif(looked):
            m.d.sync += self.mask.eq(read.data)
        m.d.comb += [
            write.en.eq(copying | self.write),
            write.addr.eq(Cat(_row(Mux(copying, restored, place), _LIVE))),
            write.data.eq(Mux(copying, read.data, self.data & self.mask)),
        ]
        return m
