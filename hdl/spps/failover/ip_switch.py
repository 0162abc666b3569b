"""Redirects frames to the unit that owns the addresses."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from .frame import older
from .switch_port import FrameMerge, FrameSteer

__all__ = ["IpSwitch"]


class IpSwitch(wiring.Component):
    """Frames from outside go to the owner only; frames from the owner only go outside; the rest is counted.

    Owner: the unit that claims the role; of two, the one with the higher epoch; `force` (external discovery) is obeyed
    before either; dead units do not count; without a claim the last owner stays.
    Source: patent §X.B, F10 (IP switch 1024, external failure detection entity 1010).
    Parameters: params.
    Members:
        i, o: packets from and to outside. o_unit, i_unit: the same of unit 0 and 1.
        active, epoch: what each unit says. dead: this unit answers no more. force: bit n names unit n the owner.
        owner: the present owner.
    Latency: 2 clocks. Throughput: one word per clock. The owner changes between frames; an open frame of a unit that is
        dead, or no longer the owner and silent for `PATIENCE` clocks, is closed with `err`.
    Backpressure: that of the owner; toward a dead unit none.
    Drop: counted (COUNTERS). Reset: owner 0.
    """

    COUNTERS = (*FrameSteer.COUNTERS, *FrameMerge.COUNTERS, "owner_change")

    def __init__(self, params):
        self.params = params
        packet = packet_signature(params.data_width)
        super().__init__({
            "i": In(packet), "o": Out(packet), "i_unit": In(packet).array(2), "o_unit": Out(packet).array(2),
            "active": In(2), "epoch": In(data.ArrayLayout(16, 2)), "dead": In(2), "force": In(2),
            "owner": Out(1), "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.steer = steer = FrameSteer(self.params.data_width)
        m.submodules.merge = merge = FrameMerge(self.params.data_width)
        claims, forced, choice = Signal(2), Signal(2), Signal(2)
        changed, newer = Signal(), Signal()
        m.d.comb += [
            claims.eq(self.active & ~self.dead), forced.eq(self.force & ~self.dead),
            choice.eq(Mux((forced == 1) | (forced == 2), forced, claims)),
            newer.eq(older(self.epoch[0], self.epoch[1])),
        ]
        m.d.sync += changed.eq(0)

        def own(unit):
            m.d.sync += [self.owner.eq(unit), changed.eq(self.owner != unit)]

        with m.Switch(choice):
            with m.Case(1):
                own(0)
            with m.Case(2):
                own(1)
            with m.Case(3):
                with m.If(self.epoch[0] != self.epoch[1]):
                    own(newer)
        for port in (steer, merge):
            m.d.comb += [port.owner.eq(self.owner), port.dead.eq(self.dead)]
        wiring.connect(m, wiring.flipped(self.i), steer.i)
        wiring.connect(m, merge.o, wiring.flipped(self.o))
        for unit in (0, 1):
            wiring.connect(m, steer.o[unit], wiring.flipped(self.o_unit[unit]))
            wiring.connect(m, wiring.flipped(self.i_unit[unit]), merge.i[unit])
        m.d.comb += self.count.eq(steer.count | merge.count << len(steer.COUNTERS)
                                  | changed << len(steer.COUNTERS) + len(merge.COUNTERS))
        return m
