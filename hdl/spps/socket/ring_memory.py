"""Block RAM behind the socket memory: byte-aligned words in rings.

Source: patent §IV (socket memory 236).
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

__all__ = ["RingMemory"]


def _lanes(word, lanes):
    """The bytes of a word, first on the wire first."""
    return [word[8 * (lanes - 1 - i):8 * (lanes - i)] for i in range(lanes)]


def _rotated(lanes, amount):
    """lanes[(i + amount) mod n] at i; amount is a signal of log2(n) bits."""
    n = len(lanes)
    for bit in range(exact_log2(n)):
        step = 1 << bit
        lanes = [Mux(amount[bit], lanes[(i + step) % n], lanes[i]) for i in range(n)]
    return lanes


class RingMemory(wiring.Component):
    """Rings of `socket_bytes` that are written and read one word per clock from any byte offset, wrapping around.

    Every byte of a word has a memory of its own with its own address, so that a word that straddles two memory words
    is one access: no read-modify-write, no carry from word to word, no byte enables.

    Parameters: params.data_width, connections, socket_bytes.
    Members: w_*: write the first `w_bytes` bytes of `w_data` at `w_offset` of ring `w_ring`. r_*: `r_data` is the word
    that begins at `r_offset` of ring `r_ring`; it holds while `r_en` is low.
    Latency: read 1 clock; what is written is seen by reads issued 2 clocks later. Throughput: one write and one read per clock.
    Collision: a byte read while it is written is undefined (`no_rw_check`); the socket's ring rules exclude that.
    Reset: contents are not reset; bytes that were never written are never read.
    """

    def __init__(self, params):
        self._params = params
        self._lanes = params.data_bytes
        self.rings = 2 * params.connections
        super().__init__({
            "w_en": In(1),
            "w_ring": In(range(self.rings)),
            "w_offset": In(range(params.socket_bytes)),
            "w_bytes": In(range(self._lanes + 1)),
            "w_data": In(params.data_width),
            "r_en": In(1),
            "r_ring": In(range(self.rings)),
            "r_offset": In(range(params.socket_bytes)),
            "r_data": Out(params.data_width),
        })

    def elaborate(self, platform):
        m = Module()
        n = self._lanes
        shift = exact_log2(n)
        depth = self.rings * self._params.socket_bytes // n

        w_row, r_row = self.w_offset[shift:], self.r_offset[shift:]
        w_start, r_start = self.w_offset[:shift], self.r_offset[:shift]
        w_next, r_next = Signal.like(w_row), Signal.like(r_row)    # the row after, inside the same ring
        m.d.comb += [w_next.eq(w_row + 1), r_next.eq(r_row + 1)]

        # byte k of the data goes to lane (start + k) mod n, hence lane i takes byte (i - start) mod n
        w_back = Signal(shift)
        m.d.comb += w_back.eq(-w_start)
        w_bytes = _rotated(_lanes(self.w_data, n), w_back)
        w_used = _rotated([k < self.w_bytes for k in range(n)], w_back)
        r_bytes = []
        for i in range(n):
            m.submodules[f"lane_{i}"] = memory = Memory(shape=8, depth=depth, init=[], attrs={"no_rw_check": 1})
            write, read = memory.write_port(), memory.read_port()
            # the write port is a pipeline stage: rotation before, long wires to the block RAMs behind
            m.d.sync += [
                write.en.eq(self.w_en & w_used[i]),
                write.addr.eq(Cat(Mux(i < w_start, w_next, w_row), self.w_ring)),
                write.data.eq(w_bytes[i]),
            ]
            m.d.comb += [
                read.en.eq(self.r_en),
                read.addr.eq(Cat(Mux(i < r_start, r_next, r_row), self.r_ring)),
            ]
            r_bytes.append(read.data)
        turned = Signal(shift)
        with m.If(self.r_en):
            m.d.sync += turned.eq(r_start)
        m.d.comb += self.r_data.eq(Cat(*reversed(_rotated(r_bytes, turned))))
        return m
