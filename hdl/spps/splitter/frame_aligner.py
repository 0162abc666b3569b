"""Frames brought into one form: no VLAN tag, and a network header that starts on a word."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.headers import ETHERNET_BYTES, ETHERTYPE_BYTES, VLAN_ID_BITS, EtherType
from ..layouts.packet import packet_signature

__all__ = ["PAD_BYTES", "FrameAligner"]

#: bytes in front of a frame
PAD_BYTES = 2
_TYPE_AT = ETHERNET_BYTES - ETHERTYPE_BYTES     # of the EtherType, or of the tag, in a frame


class FrameAligner(wiring.Component):
    """Take the VLAN tag out of each frame and put two bytes in front, so that the network header starts at byte 16.

    A tag is found where the EtherType would be, and it ends on a word at every width. The word before it waits in the
    output register until the EtherType behind the tag is there; from then on the frame is shifted by two bytes to the
    front instead of two to the back. One tag is taken out; what is behind it stays as it is.

    A frame without a tag, or with VLAN identifier 0 (priority only), belongs to the network of its port. Otherwise the
    identifier names the network, which becomes the port.

    Parameters
    ----------
    params : SppsParams
        data_width, ports.

    Members
    -------
    i : In(stream of packet)
        Frames.
    o : Out(stream of packet)
        The same frames without a tag and with PAD_BYTES undefined bytes in front. `port` is the network from the word
        with the EtherType on. A frame that ends inside its tag has 12 bytes.
    unknown_vlan : Out(1)
        With `o`, from the word with the EtherType on: the VLAN identifier names no network; `port` is that of `i`.
    vlan : In(ArrayLayout(12, params.ports))
        VLAN identifier of each network; 0: none. Of equal ones the first counts.

    Timing
    ------
    Latency one clock. Throughput one word per clock, one clock more for a packet whose last word has fewer than two
    unused bytes. `i.ready` follows `o.ready` combinationally.

    Drop
    ----
    None.

    Reset
    -----
    Empty.

    Source
    ------
    IEEE 802.1Q §6.9.1, §9.3, §9.6.
    """

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o": Out(packet_signature(params.data_width)),
            "unknown_vlan": Out(1), "vlan": In(data.ArrayLayout(VLAN_ID_BITS, params.ports)),
        })

    def elaborate(self, platform):
        m = Module()
        width, size = self.params.data_width, self.params.data_width // 8
        type_word = _TYPE_AT // size            # it ends with the type and two more bytes: with the whole tag
        word, first = self.i.p.data, self.i.p.data[-16:]
        index = Signal(range(type_word + 2))    # of the word at i, saturates
        rest = Signal(width - 16)               # the word before, without its first two bytes
        removed, waits = Signal(), Signal()     # the frame had a tag; its EtherType is the next to come
        mapped, unknown, network = Signal(), Signal(), Signal(range(self.params.ports))
        flush, error = Signal(), Signal()
        free, taken, tag, fits = Signal(), Signal(), Signal(), Signal()
        empty = Signal.like(self.i.p.empty)     # unused bytes of the last word at o
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready), self.i.ready.eq(free & ~flush),
            taken.eq(self.i.valid & self.i.ready),
            tag.eq((index == type_word) & (word[16:32] == EtherType.VLAN)),
            fits.eq(tag | (self.i.p.empty >= Mux(removed, size - 2, 2))),
            empty.eq(Mux(tag, 2, Mux(removed, self.i.p.empty + 2, self.i.p.empty - 2))),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(taken | free & flush):
            m.d.sync += self.o.p.data[:16].eq(Mux(removed, first, word[16:32]))
            with m.If(~waits):
                m.d.sync += self.o.p.data[16:].eq(Mux(removed, rest, Cat(word[32:], rest[:16])))
        with m.If(taken):
            m.d.sync += [
                rest.eq(word), index.eq(Mux(self.i.p.last, 0, Mux(index > type_word, index, index + 1))),
                waits.eq(tag & ~self.i.p.last), self.o.valid.eq(~tag | self.i.p.last),
                self.o.p.port.eq(Mux(mapped, network, self.i.p.port)), self.unknown_vlan.eq(unknown),
                self.o.p.empty.eq(empty), self.o.p.last.eq(self.i.p.last & fits),
                self.o.p.err.eq(self.i.p.last & self.i.p.err & fits),
                error.eq(self.i.p.err), flush.eq(self.i.p.last & ~fits),
            ]
            with m.If(tag & ~self.i.p.last):
                self._name_network(m, word[:VLAN_ID_BITS], mapped, unknown, network)
                m.d.sync += removed.eq(1)
            with m.If(self.i.p.last):
                m.d.sync += [removed.eq(removed & ~fits), mapped.eq(0), unknown.eq(0)]
        with m.If(free & flush):
            m.d.sync += [
                flush.eq(0), removed.eq(0), self.o.valid.eq(1), self.o.p.last.eq(1), self.o.p.err.eq(error),
            ]
        return m

    def _name_network(self, m, identifier, mapped, unknown, network):
        """Look the identifier up: one network has it, or none."""
        m.d.sync += unknown.eq(identifier != 0)
        for port, vlan in reversed(list(enumerate(self.vlan))):     # the last assignment counts
            with m.If((identifier != 0) & (identifier == vlan)):
                m.d.sync += [mapped.eq(1), unknown.eq(0), network.eq(port)]
