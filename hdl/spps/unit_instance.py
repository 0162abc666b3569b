"""An instance of the Verilog module of one unit."""
from amaranth.hdl import ClockSignal, Const, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .top import spps_signature

__all__ = ["UnitInstance"]


class UnitInstance(wiring.Component):
    """An instance of the Verilog module `spps`, so that a pair is elaborated as one unit and not as two.

    Parameters, members, timing, drop and reset are those of Spps; besides, `power_up` resets it alone.
    """

    def __init__(self, params, *, activity=False):
        self.params = params
        self._ports = spps_signature(params, activity)
        super().__init__({**self._ports.members, "power_up": In(1)})

    def elaborate(self, platform):
        ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal() | self.power_up}
        for path, member, value in self._ports.flatten(self):
            value = Value.cast(value)
            if not isinstance(value, Const):        # `ready` of a stream that is always ready
                ports[("i_" if member.flow == In else "o_") + "__".join(map(str, path))] = value
        m = Module()
        m.submodules.spps = Instance("spps", **ports)
        return m
