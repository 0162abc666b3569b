"""Instruction memory of a protocol cluster."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.register import InstructionWrite
from ..ucode.isa import WORD_BITS

__all__ = ["InstructionMemory", "checked_image"]


def checked_image(params, image):
    """The image as a list. Raises ValueError when it does not fit the instruction memory."""
    image = list(image)
    if len(image) > params.imem_words:
        raise ValueError(f"image of {len(image)} words: must be at most imem_words={params.imem_words}")
    for address, word in enumerate(image):
        if not 0 <= word < 1 << WORD_BITS:
            raise ValueError(f"image[{address}]={word!r}: must be an unsigned {WORD_BITS}-bit word")
    return image


class InstructionMemory(wiring.Component):
    """36-bit words; one fetch port per core; writable while the cores run.

    Source: patent §V ("microcode"), §VI, F3 (instruction memory 304).
    Parameters: params.imem_words, params.cores; image: words from address 0, the rest is zero (trap); index: cluster number.
    Members: i writes of this cluster (others are ignored); per core: address, fetch, word, ready (low in the clock of
    a write). Two cores share a copy, each with a port of a true dual-port block RAM; writes use the port of the first, while both
    hold their fetch. A port of its own for writes would put a bypass behind every fetch.
    Latency: word one clock after fetch, held until the next fetch. Throughput: a fetch per core and clock.
    Backpressure: none; a write takes one clock. Drop: writes beyond imem_words are ignored.
    Reset: contents survive; the image is the power-up content.
    """

    def __init__(self, params, *, image=(), index=0):
        self._params, self._image, self._index = params, checked_image(params, image), index
        bits = (params.imem_words - 1).bit_length()
        super().__init__({
            "i": In(stream.Signature(InstructionWrite)),
            "address": In(data.ArrayLayout(bits, params.cores)),
            "fetch": In(params.cores),
            "word": Out(data.ArrayLayout(WORD_BITS, params.cores)),
            "ready": Out(params.cores),
        })

    def elaborate(self, platform):
        m = Module()
        cores = self._params.cores
        write, address, word = Signal(), Signal(12), Signal(WORD_BITS)
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += [
            write.eq(self.i.valid & (self.i.p.cluster == self._index) & (self.i.p.address < self._params.imem_words)),
            address.eq(self.i.p.address), word.eq(self.i.p.data),
        ]
        for copy in range((cores + 1) // 2):
            m.submodules[f"copy{copy}"] = store = memory.Memory(
                shape=WORD_BITS, depth=self._params.imem_words, init=self._image, attrs={"no_rw_check": 1})
            write_port = store.write_port()
            m.d.comb += [write_port.addr.eq(Mux(write, address, self.address[2 * copy])), write_port.data.eq(word),
                         write_port.en.eq(write)]
            for core in range(2 * copy, min(2 * copy + 2, cores)):
                port = store.read_port()
                m.d.comb += [
                    port.addr.eq(self.address[core] if core % 2 else write_port.addr), port.en.eq(self.fetch[core] & ~write),
                    self.word[core].eq(port.data), self.ready[core].eq(~write),
                ]
        return m
