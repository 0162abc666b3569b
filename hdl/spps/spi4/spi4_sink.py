"""SPI-4 receive side."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature, spi4_signature
from ..lib.skid_buffer import SkidBuffer
from .burst_packer import BurstPacker
from .dip import DIP4
from .dip_checker import DipChecker
from .link_segmenter import LinkSegmenter
from .port_buffers import PortBuffers

__all__ = ["Spi4Sink"]

#: All ports turn satisfied when 1/_CONGESTED of the queue at the link is used; the rest takes what is still on its way.
_CONGESTED = 4


class Spi4Sink(wiring.Component):
    """Turn the words of a SPI-4 link into whole packets, one port at a time.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, ports, max_frame.
    dip : Dip4
        Parity of the link.
    headroom : int, bytes
        What a ring still takes after the status of its port has turned satisfied.

    Members
    -------
    i : In(spi4_signature(data_width))
        The link: data_width / 16 words per clock, control words in any lane.
    o : Out(stream of packet)
        Whole packets.
    status : Out(ArrayLayout(2, ports))
        FIFO status of each port: 0 starving, 1 hungry, 2 satisfied.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 12 clocks (12 or 13 from 64 bits on) from the control word that ends a packet to its first word at `o`.
    Throughput one group of words per clock, two clocks for a group with data behind a control word. The only
    backpressure is `status`: a source that starts no burst for a satisfied port and whose bursts have 256 bytes at most
    never overflows.

    Drop
    ----
    Lost and counted: a packet (overflow, missing_eop), the end of one (missing_sop), a burst (address, reserved,
    no_payload_control), a group of words (input_overflow, every packet that was open leaves with err). Counted only:
    sop_spacing, eop_without_data. Packets with a wrong DIP-4, abort, burst_length, empty_burst or oversize leave with
    err.

    Reset
    -----
    Empty; all ports are satisfied until the first clock.

    Source
    ------
    OIF-SPI4-02.1 §6; patent §I, F2 202/204.
    """

    COUNTERS = PortBuffers.COUNTERS | BurstPacker.COUNTERS | DipChecker.COUNTERS | LinkSegmenter.COUNTERS

    def __init__(self, params, *, dip=DIP4, headroom=1024):
        self.params, self.dip, self.headroom = params, dip, headroom
        super().__init__({
            "i": In(spi4_signature(params.data_width)), "o": Out(packet_signature(params.data_width)),
            "status": Out(data.ArrayLayout(2, params.ports)), "count": Out(self.COUNTERS.layout),
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
        # registers o.ready: it depends on the scratchpad's free pages and would be the end of a long path
        m.submodules.skid = skid = SkidBuffer(packet_layout(p.data_width))
        wiring.connect(m, buffers.o, skid.i)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        m.d.comb += [
            segmenter.i_valid.eq(checker.o_valid), segmenter.i.eq(checker.o),
            buffers.i_valid.eq(packer.o_valid), buffers.i.eq(packer.o), buffers.poison.eq(packer.poison),
            self.count.eq(Cat(buffers.count, packer.count, checker.count, segmenter.count)),
        ]
        # A gate behind registers: with registers here Yosys 0.70 fails an assertion (ABC9).
        congested = Signal(init=1)
        m.d.sync += congested.eq(segmenter.level >= segmenter.depth // _CONGESTED)
        for n in range(p.ports):
            m.d.comb += self.status[n].eq(Mux(buffers.near_full[n] | congested, 2, buffers.half[n]))
        return m
