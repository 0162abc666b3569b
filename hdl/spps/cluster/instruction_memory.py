"""Instruction memory of a protocol cluster."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In

from ..layouts.register import InstructionWrite
from ..ucode.isa import WORD_BITS
from .ports import FetchPort

__all__ = ["InstructionMemory", "checked_image"]


def checked_image(params, image):
    """Return the image as a list. Raises ValueError when it does not fit the instruction memory."""
    image = list(image)
    if len(image) > params.imem_words:
        raise ValueError(f"image of {len(image)} words: must be at most imem_words={params.imem_words}")
    for address, word in enumerate(image):
        if not 0 <= word < 1 << WORD_BITS:
            raise ValueError(f"image[{address}]={word!r}: must be an unsigned {WORD_BITS}-bit word")
    return image


class InstructionMemory(wiring.Component):
    """36-bit words with one fetch port per core, writable while the cores run.

    Two cores share a copy of the program, each with one port of a true dual-port block RAM. Writes use the port of the
    first core, while both hold their fetch: a separate write port would put a bypass behind every fetch.

    Parameters
    ----------
    params : SppsParams
        imem_words, cores.
    image : sequence of int
        Words from address 0 on; the rest is zero, which traps.
    index : int
        Number of the cluster.

    Members
    -------
    i : In(stream of InstructionWrite)
        Live program writes; always taken.
    core : In(FetchPort), array of cores
        Fetches.

    Timing
    ------
    A word comes one clock after its fetch and stays until the next one. Throughput: a fetch per core and clock. A write
    takes one clock, in which no fetch is done.

    Drop
    ----
    Writes for another cluster or beyond imem_words are ignored.

    Reset
    -----
    Contents survive; the image is the power-up content.

    Source
    ------
    Patent §V ("microcode"), §VI, F3 (instruction memory 304).
    """

    def __init__(self, params, *, image=(), index=0):
        self._params, self._image, self._index = params, checked_image(params, image), index
        super().__init__({
            "i": In(stream.Signature(InstructionWrite)), "core": In(FetchPort(params)).array(params.cores),
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
            m.d.comb += [write_port.addr.eq(Mux(write, address, self.core[2 * copy].address)), write_port.data.eq(word),
                         write_port.en.eq(write)]
            for number in range(2 * copy, min(2 * copy + 2, cores)):
                core, port = self.core[number], store.read_port()
                m.d.comb += [
                    port.addr.eq(core.address if number % 2 else write_port.addr), port.en.eq(core.fetch & ~write),
                    core.word.eq(port.data), core.ready.eq(~write),
                ]
        return m
