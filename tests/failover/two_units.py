"""Two failover units in one top, each with its own ports; the bench is the link."""
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spps.failover import FailoverUnit
from spps.params import TINY


def two_units_params(width):
    """Return the parameters of both units."""
    return TINY.replace(data_width=width, replay_records=8, gate_depth=32)


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
    reset_a, reset_b : In(1)
        Reset of one unit.
    """

    def __init__(self, width):
        self.params = two_units_params(width)
        self.units = FailoverUnit(self.params), FailoverUnit(self.params)
        super().__init__({"a": Out(self.units[0].signature), "b": Out(self.units[1].signature),
                          "reset_a": In(1), "reset_b": In(1)})

    def elaborate(self, platform):
        m = Module()
        a, b = self.units
        m.submodules.a, m.submodules.b = ResetInserter(self.reset_a)(a), ResetInserter(self.reset_b)(b)
        wiring.connect(m, a, wiring.flipped(self.a))
        wiring.connect(m, b, wiring.flipped(self.b))
        return m
