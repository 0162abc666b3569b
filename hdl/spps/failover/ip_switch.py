"""Sends frames to the unit that owns the addresses."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from ..lib import Counters
from .frame_merge import FrameMerge
from .frame_steer import FrameSteer
from .sync_frame import older

__all__ = ["IpSwitch", "PATIENCE"]

#: Default of `patience`, clocks. A shorter one ends frames of a former owner that runs and only pauses; a longer one
#: delays the first frame of the new owner when the former one is frozen within a frame.
PATIENCE = 64


class IpSwitch(wiring.Component):
    """Connects the outside to the unit that owns the addresses, in both directions, and drops frames of the other unit.

    The owner is, in this order: the unit that `force` names; the only unit that is active; of two active units the
    one with the later epoch; else the owner so far. A dead unit is neither active nor named.

    Parameters
    ----------
    params : SppsParams
        `data_width`.
    patience : int, clocks
        The open frame of a former owner is given up when no word of it moves for this long. Raises ValueError below 1.

    Members
    -------
    i, o : In(stream of packet), Out(stream of packet)
        Frames from outside and to outside.
    i_unit, o_unit : In(stream of packet).array(2), Out(stream of packet).array(2)
        Frames from and to unit 0 and unit 1.
    active, epoch : In(2), In(ArrayLayout(16, 2))
        Role and epoch that each unit reports.
    dead : In(2)
        Bit n: unit n does not answer.
    hold : In(2)
        Bit n: unit n hands its role over (`Spps.steer`). While it is the owner, frames from outside wait, whole.
    force : In(2)
        Bit n: an external failure detector names unit n the owner; both bits or none: no effect.
    owner : Out(1), unit number
        The present owner.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 1 clock. Throughput 1 word per clock. The owner of the next frame can change in any clock; a
    frame that has begun stays with its unit. `i` waits for the unit that gets the frame, unless it is dead.

    Drop
    ----
    Frames for a dead unit, frames of the unit that is not the owner, the rest of frames that are given up; counted.

    Reset
    -----
    Owner 0, between frames.

    Source
    ------
    Patent §X.B, F10 (IP switch 1024, external failure detection entity 1010).
    """

    COUNTERS = FrameSteer.COUNTERS | FrameMerge.COUNTERS | Counters({"owner_change": "changes of the owner"})

    def __init__(self, params, *, patience=PATIENCE):
        if patience < 1:
            raise ValueError(f"patience={patience!r}: must be at least 1")
        self.params, self.patience = params, patience
        packet = packet_signature(params.data_width)
        super().__init__({
            "i": In(packet), "o": Out(packet), "i_unit": In(packet).array(2), "o_unit": Out(packet).array(2),
            "active": In(2), "epoch": In(data.ArrayLayout(16, 2)), "dead": In(2), "force": In(2),
            "hold": In(2),
            "owner": Out(1), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.steer = steer = FrameSteer(self.params.data_width, self.patience)
        m.submodules.merge = merge = FrameMerge(self.params.data_width, self.patience)
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
        m.d.comb += steer.hold.eq(self.hold)
        for port in (steer, merge):
            m.d.comb += [port.owner.eq(self.owner), port.dead.eq(self.dead)]
        wiring.connect(m, wiring.flipped(self.i), steer.i)
        wiring.connect(m, merge.o, wiring.flipped(self.o))
        for unit in (0, 1):
            wiring.connect(m, steer.o[unit], wiring.flipped(self.o_unit[unit]))
            wiring.connect(m, wiring.flipped(self.i_unit[unit]), merge.i[unit])
        m.d.comb += self.count.eq(Cat(steer.count, merge.count, changed))
        return m
