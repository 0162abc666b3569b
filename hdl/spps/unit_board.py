"""One SPPS on what stands for its board, as the top of a simulation or as half of a pair."""
from amaranth.hdl import Module, ResetInserter, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts.activity import activity_layout
from .layouts.packet import packet_signature
from .layouts.register import RegisterRequest
from .params import TINY, checked_params
from .spi4 import Spi4Sink, Spi4Source
from .top import PROBES
from .unit_instance import UnitInstance

__all__ = ["UnitBoard"]

SATISFIED = 2
MAC_BURST_BLOCKS = 8        # 128-byte bursts from the devices that stand for the MACs


class UnitBoard(wiring.Component):
    """An SPPS with what stands for the MACs of its networks: whole frames outside, SPI-4 inside.

    Parameters
    ----------
    params : SppsParams
        Of the unit. Its module `spps` is generated apart (`gen.write_board`, `gen.write_pair`).

    Members
    -------
    i, o : In, Out(stream of packet)
        Whole frames from and to the networks, port 0 client side, 1 server side.
    i_sync, o_sync : In, Out(stream of packet)
        Frames of the sync link.
    i_mmc, o_mmc : In(stream of RegisterRequest), Out(stream of 32 bits)
        Register access.
    alive : In(1)
        0 stops the unit: nothing leaves it, and the sync link loses what comes for it.
    power_up : In(1)
        Resets the unit and the MACs, as when the board is switched on. `alive` must be 0 before.
    unit, detector, role_init : In(1)
        Pins of the unit.
    active, epoch, steer, issued, confirmed, delivered, done, copied, activity : Out
        Of the unit.

    Timing
    ------
    Latency of a SPI-4 crossing in each direction. Throughput 1 word per clock. `i` waits for the SPI-4 status.

    Drop
    ----
    Frames of the sync link for a unit that is stopped.

    Reset
    -----
    Synchronous.

    Source
    ------
    Patent F9.
    """

    def __init__(self, params=TINY):
        params = checked_params(params)
        if params.socket_memory != "onchip":
            raise ValueError(f"socket_memory={params.socket_memory!r}: must be onchip, a board of a simulation has no "
                             "memory ports")
        self.params = params
        packet = packet_signature(params.data_width)
        super().__init__({
            "i": In(packet), "o": Out(packet), "i_sync": In(packet), "o_sync": Out(packet),
            "i_mmc": In(stream.Signature(RegisterRequest)), "o_mmc": Out(stream.Signature(unsigned(32))),
            "alive": In(1, init=1), "power_up": In(1), "unit": In(1), "detector": In(1), "role_init": In(1),
            "active": Out(1), "epoch": Out(16), "steer": Out(1), **{name: Out(32) for name in PROBES},
            "activity": Out(activity_layout(params)),
        })

    def elaborate(self, platform):
        m = Module()
        params, alive = self.params, self.alive
        m.submodules.spps = unit = UnitInstance(params, activity=True)
        source, sink = Spi4Source(params), Spi4Sink(params)
        m.submodules.phy_source = ResetInserter(self.power_up)(source)
        m.submodules.phy_sink = ResetInserter(self.power_up)(sink)
        wiring.connect(m, wiring.flipped(self.i), source.i)
        wiring.connect(m, sink.o, wiring.flipped(self.o))
        m.d.comb += [
            unit.enable.eq(alive), unit.power_up.eq(self.power_up),
            *(getattr(unit, name).eq(getattr(self, name)) for name in ("unit", "detector", "role_init")),
            unit.i_spi4.payload.eq(source.o.payload), unit.i_spi4.valid.eq(source.o.valid),
            sink.i.payload.eq(unit.o_spi4.payload), sink.i.valid.eq(unit.o_spi4.valid & alive),
            unit.status_i.eq(sink.status), source.burst_blocks.eq(MAC_BURST_BLOCKS),
            self.i_mmc.ready.eq(unit.i_mmc.ready & alive), unit.i_mmc.valid.eq(self.i_mmc.valid & alive),
            unit.i_mmc.payload.eq(self.i_mmc.payload), self.o_mmc.payload.eq(unit.o_mmc.payload),
            self.o_mmc.valid.eq(unit.o_mmc.valid & alive), unit.o_mmc.ready.eq(self.o_mmc.ready & alive),
            self.o_sync.payload.eq(unit.o_sync.payload), self.o_sync.valid.eq(unit.o_sync.valid & alive),
            unit.o_sync.ready.eq(self.o_sync.ready & alive),
            unit.i_sync.payload.eq(self.i_sync.payload), unit.i_sync.valid.eq(self.i_sync.valid & alive),
            self.i_sync.ready.eq(unit.i_sync.ready | ~alive),
            *(getattr(self, name).eq(getattr(unit, name))
              for name in ("active", "epoch", "steer", *PROBES, "activity")),
        ]
        for port in range(params.ports):
            with m.If(alive):
                m.d.comb += source.status[port].eq(unit.status_o[port])
            with m.Else():
                m.d.comb += source.status[port].eq(SATISFIED)
        return m
