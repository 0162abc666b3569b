"""Two failover units in one top, each with its own ports; the bench is the link."""
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from spps.failover import FailoverUnit
from spps.params import TINY


class TwoUnits(wiring.Component):
    """Two failover units without a link.

    Parameters
    ----------
    width : int
        Bits of a packet word.

    Members
    -------
    a, b : Out(FailoverUnit)
        All ports of unit 0 and unit 1.
    """

    def __init__(self, width):
        self.params = TINY.replace(data_width=width, replay_records=8, gate_depth=32)
        self.units = FailoverUnit(self.params), FailoverUnit(self.params)
        super().__init__({"a": Out(self.units[0].signature), "b": Out(self.units[1].signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.a, m.submodules.b = a, b = self.units
        wiring.connect(m, a, wiring.flipped(self.a))
        wiring.connect(m, b, wiring.flipped(self.b))
        return m
