"""The flow keys seen last."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import FlowKey

__all__ = ["QuickList"]


class QuickList(wiring.Component):
    """Recently used keys with their connections, all compared at once.

    Parameters
    ----------
    conn_bits : int
        Bits of a connection number.
    entries : int
        Keys in the list, a power of two.

    Members
    -------
    key : In(FlowKey)
        Key asked for, remembered or forgotten.
    hit : Out(1)
        The list has it.
    conn : Out(conn_bits)
        Its connection.
    leg : Out(1)
        Its leg.
    remember : In(1)
        Puts `key` with `new_conn` and `new_leg` into the list, over an entry of that key or over the oldest entry.
    forget : In(1)
        Removes `key`.
    forget_all : In(1)
        Removes all keys.
    new_conn : In(conn_bits)
        Connection to remember.
    new_leg : In(1)
        Leg to remember.

    Timing
    ------
    `hit`, `conn` and `leg` 1 clock after `key`. `remember` and `forget` only when `key` was the same in the clock
    before.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §III.A ("quick list").
    """

    def __init__(self, conn_bits, entries):
        self.conn_bits, self.entries = conn_bits, entries
        super().__init__({
            "key": In(FlowKey),
            "hit": Out(1),
            "conn": Out(conn_bits),
            "leg": Out(1),
            "remember": In(1),
            "forget": In(1), "forget_all": In(1),
            "new_conn": In(conn_bits),
            "new_leg": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        match = Signal(self.entries)
        valid = Signal(self.entries)
        oldest = Signal(range(self.entries))
        m.d.comb += self.hit.eq((match & valid).any())
        for k in range(self.entries):
            key = Signal(FlowKey, name=f"key_{k}")
            conn, leg = Signal(self.conn_bits, name=f"conn_{k}"), Signal(name=f"leg_{k}")
            m.d.sync += match[k].eq(key.as_value() == self.key.as_value())
            with m.If(match[k] & valid[k]):
                m.d.comb += [self.conn.eq(conn), self.leg.eq(leg)]
            chosen = (match[k] & valid[k]) | (~self.hit & (oldest == k))
            with m.If(self.remember & chosen):
                m.d.sync += [key.eq(self.key), conn.eq(self.new_conn), leg.eq(self.new_leg), valid[k].eq(1)]
            with m.If((self.forget & match[k]) | self.forget_all):
                m.d.sync += valid[k].eq(0)
        with m.If(self.remember & ~self.hit):
            m.d.sync += oldest.eq(oldest + 1)
        return m
