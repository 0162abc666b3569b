"""Many 32-bit counters in one block RAM."""
from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CounterFile"]


def _select(index, values):
    """Return values[index] as a tree of two-way choices: a case over many values synthesizes to far more logic."""
    for bit in index:
        values = [Mux(bit, *reversed(pair)) if len(pair) == 2 else pair[0] for pair in
                  (values[k:k + 2] for k in range(0, len(values), 2))]
    return values[0]


#: bits of a shift register -> those that feed its first bit, so that it passes through all states but one
_TAPS = {3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7), 11: (11, 9),
         12: (12, 11, 10, 4)}


def _step(state, bits):
    """Return the state after this one; 0 is in the cycle, all ones is not."""
    fed = ~reduce(xor, (state >> tap - 1 for tap in _TAPS[bits])) & 1
    return (state << 1 | fed) & (1 << bits) - 1


def _positions(bits):
    """Return the number of steps from state 0 to each state."""
    found, state = [0] * (1 << bits), 0
    for position in range((1 << bits) - 1):
        found[state] = position
        state = _step(state, bits)
    assert state == 0
    return found


class CounterFile(wiring.Component):
    """Counts pulses, with a small counter per input and 32-bit totals in block RAM.

    A sweep looks at one small counter per clock, at each once per `n` clocks, and adds what it has gained to its
    total, so log2(n) bits suffice for pulses in every clock. A small counter is a shift register with feedback, which
    needs no carry chain; a table in block RAM converts its state into a number of steps. The last such number is kept
    beside the total.

    Parameters
    ----------
    n : int
        Counters. Raises ValueError outside 1 to 4000.

    Members
    -------
    pulse : In(n)
        Bit k counts one for counter k.
    select, read, clear : In(range(n)), In(1), In(1)
        Number of a counter and what to do; held until `done`.
    done, value : Out(1), Out(32)
        One clock: `value` is the total up to that clock.

    Timing
    ------
    Latency up to n clocks to `done`. Throughput one access per sweep. Nothing waits.

    Drop
    ----
    None; a pulse in the clock of a clear counts from zero.

    Reset
    -----
    All zero: the first sweep takes every total as zero, whatever memory holds.

    Source
    ------
    None. Why not a register per counter: mmc/README.md.
    """

    def __init__(self, n):
        if not 1 <= n <= 4000:
            raise ValueError(f"n={n!r}: must be from 1 to 4000")
        self.n = n
        super().__init__({"pulse": In(n), "select": In(range(max(n, 2))), "read": In(1), "clear": In(1), "done": Out(1),
                          "value": Out(32)})

    def elaborate(self, platform):
        m = Module()
        period = max(self.n, 4)
        bits = (period + 1).bit_length()        # one state less than 2**bits is still more than a sweep can add
        entry = data.StructLayout({"total": 32, "seen": bits})
        m.submodules.totals = totals = memory.Memory(shape=entry, depth=period, init=[], attrs={"no_rw_check": 1})
        m.submodules.position = table = memory.Memory(shape=bits, depth=1 << bits, init=_positions(bits))
        write, read, position = totals.write_port(), totals.read_port(), table.read_port()
        # a counter per clock: its state, then its position and its entry, then its new entry
        index, second, third = Signal(range(period)), Signal(range(period)), Signal(range(period))
        started, busy, first = Signal(), Signal(), Signal(init=1)
        small = [Signal(bits, name=f"small_{k}") for k in range(self.n)]
        state, gained, total, seen = Signal(bits), Signal(bits), Signal(32), Signal(bits)
        for k, count in enumerate(small):
            with m.If(self.pulse[k]):
                m.d.sync += count.eq(Cat(~reduce(xor, (count[tap - 1] for tap in _TAPS[bits])), count[:-1]))
        m.d.sync += [
            index.eq(Mux(index == period - 1, 0, index + 1)), second.eq(index), third.eq(second),
            started.eq(1), busy.eq(started), state.eq(_select(index, small)),
        ]
        before, steps = Signal(bits), Signal(bits + 1)
        m.d.comb += [
            position.addr.eq(state), position.en.eq(1), read.addr.eq(second), read.en.eq(1), seen.eq(position.data),
            before.eq(Mux(first, 0, read.data.seen)), steps.eq(seen - before),
            gained.eq(steps[:bits] - steps[bits]),      # modulo 2**bits - 1
            total.eq(Mux(first, 0, read.data.total) + gained),
            self.value.eq(total), self.done.eq(busy & (third == self.select) & (self.read | self.clear)),
            write.addr.eq(third), write.en.eq(busy), write.data.seen.eq(seen),
            write.data.total.eq(Mux(self.done & self.clear, 0, total)),
        ]
        with m.If(busy & (third == period - 1)):
            m.d.sync += first.eq(0)
        return m
