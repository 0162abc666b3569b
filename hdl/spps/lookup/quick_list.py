"""The flow keys seen last."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import FlowKey

__all__ = ["QuickList", "QUICK_ENTRIES"]

QUICK_ENTRIES = 4


class QuickList(wiring.Component):
    """Four recently used keys with their connections, compared at once. Source: patent §III.A ("quick list").

    Members: key: In, the key asked for; hit, conn, leg: answer one clock later. remember: put key with new_conn and new_leg
    into the list, over an entry of that key or the oldest; forget: remove key. Both only after key has been stable for a
    clock.
    Latency: 1 clock. Reset: empty.
    """

    def __init__(self, conn_bits):
        self.conn_bits = conn_bits
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
        match = Signal(QUICK_ENTRIES)
        valid = Signal(QUICK_ENTRIES)
        oldest = Signal(range(QUICK_ENTRIES))
        m.d.comb += self.hit.eq((match & valid).any())
        for k in range(QUICK_ENTRIES):
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
