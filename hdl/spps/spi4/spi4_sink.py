"""SPI-4 receive side."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature, spi4_signature
from ..lib.skid_buffer import SkidBuffer
from .burst_packer import BurstPacker
from .dip import Dip4
from .dip_checker import DipChecker
from .link_segmenter import LinkSegmenter
from .port_buffers import PortBuffers

__all__ = ["Spi4Sink"]


class Spi4Sink(wiring.Component):
    """Words and control words of a SPI-4 link to whole packets, one port at a time.

    Source: OIF-SPI4-02.1 §6; patent §I, F2 202/204.
    Parameters: params: data_width, ports, max_frame; dip; headroom, bytes a port still takes after its status turned satisfied.
    Members: i, any lane alignment; o; status per port: 0 starving, 1 hungry, 2 satisfied; count, one pulse per COUNTERS entry.
    Latency: 11 or 12 clocks from the control word that ends a packet to its first word. Throughput: a group of W/16 words
    per clock, two clocks for a
    group with data behind a control word.
    Backpressure: status only. A source that starts no burst for a satisfied port and whose bursts have 256 bytes at most
    never overflows.
    Drop: packets counts what leaves at o, good or with err (DIP-4, abort, burst_length, empty_burst, oversize). Lost and
    counted: overflow,
    missing_eop: a packet; missing_sop: the rest of one; address, reserved, no_payload_control: a burst; input_overflow: a
    group of
    words, and every packet that was open leaves with err. sop_spacing, eop_without_data: flagged.
    Reset: empty, all ports satisfied until the first clock.
    """

    COUNTERS = PortBuffers.ERRORS + BurstPacker.ERRORS + ("sop_spacing", "input_overflow")

    def __init__(self, params, *, dip=Dip4(), headroom=1024):
        self.params, self.dip, self.headroom = params, dip, headroom
        super().__init__({
            "i": In(spi4_signature(params.data_width)), "o": Out(packet_signature(params.data_width)),
            "status": Out(data.ArrayLayout(2, params.ports)), "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        m.submodules.checker = checker = DipChecker(p.data_width, dip=self.dip)
        m.submodules.segmenter = segmenter = LinkSegmenter(p.spi4_lanes)
        m.submodules.packer = packer = BurstPacker(p.data_width, p.ports)
        m.submodules.buffers = buffers = PortBuffers(p, headroom=self.headroom)
        wiring.connect(m, wiring.flipped(self.i), checker.i)
        wiring.connect(m, segmenter.o, packer.i)
        m.submodules.skid = skid = SkidBuffer(packet_layout(p.data_width))      # backpressure comes late from the scratchpad's pages
        wiring.connect(m, buffers.o, skid.i)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        m.d.comb += [
            segmenter.i_valid.eq(checker.o_valid), segmenter.i.eq(checker.o),
            buffers.i_valid.eq(packer.o_valid), buffers.i.eq(packer.o), buffers.poison.eq(packer.poison),
            self.count.eq(Cat(buffers.errors, packer.errors, checker.sop_spacing, segmenter.overflow)),
        ]
        # One gate behind registers: as registers these bits hit an assertion of Yosys 0.70 (ABC9).
        congested = Signal(init=1)
        m.d.sync += congested.eq(segmenter.level >= segmenter.depth // 4)
        for n in range(p.ports):
            m.d.comb += self.status[n].eq(Mux(buffers.near_full[n] | congested, 2, buffers.half[n]))
        return m
