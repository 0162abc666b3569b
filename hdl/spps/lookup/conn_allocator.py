"""Which local flow ids are in use, and which one is given away next."""
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ConnAllocator", "Mark", "MarkOp"]


class MarkOp(enum.Enum, shape=2):
    CREATE = 0          # in use, half-open
    INSERT = 1          # in use; half-open if it was
    FREE = 2
    ESTABLISHED = 3     # no longer half-open


class Mark(data.Struct):
    """What happens to conn."""
    conn: unsigned(16)
    op: MarkOp


class ConnAllocator(wiring.Component):
    """Two bits per connection in memory, in use and half-open, and a scanner that keeps the next free id ready.

    The scanner goes round, so that a freed id rests as long as others are free. Source: patent §III.A–B.

    Parameters: params.
    Members: i_mark: stream(Mark); next, next_valid: a free id, if one has been found; in_use, half_open: numbers of ids;
    scan_conn, scan_valid: a second reader: scan_valid is 1 in the clock after scan_conn when that id is in use.
    Latency: a mark takes 3 clocks; the next free id is found after 2 clocks per id in use on the way.
    Backpressure: i_mark waits during a mark and the sweep after reset. Marking what is marked has no effect.
    Drop: none; a conn that does not exist is ignored (the controller counts it). Reset: a sweep frees every id.
    """

    def __init__(self, params):
        self.params = params
        n = params.connections
        super().__init__({
            "i_mark": In(stream.Signature(Mark)),
            "next": Out(range(n)),
            "next_valid": Out(1),
            "in_use": Out(range(n + 1)),
            "half_open": Out(range(n + 1)),
            "scan_conn": In(16),
            "scan_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        m.submodules.bits = bits = memory.Memory(shape=2, depth=n, init=[], attrs={"no_rw_check": 1})
        write, read, scan = bits.write_port(), bits.read_port(domain="sync"), bits.read_port(domain="sync")
        m.d.comb += [scan.addr.eq(self.scan_conn), scan.en.eq(1), self.scan_valid.eq(scan.data[0])]

        pointer = Signal(range(n))      # sweep after reset, then scan
        mark = Signal(Mark)
        was_used, was_half, used, half = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            read.en.eq(1), read.addr.eq(pointer), Cat(was_used, was_half).eq(read.data),
            write.addr.eq(mark.conn), write.data.eq(Cat(used, half)),
        ]
        with m.Switch(mark.op):
            with m.Case(MarkOp.CREATE):
                m.d.comb += [used.eq(1), half.eq(1)]
            with m.Case(MarkOp.INSERT):
                m.d.comb += [used.eq(1), half.eq(was_half)]
            with m.Case(MarkOp.ESTABLISHED):
                m.d.comb += used.eq(was_used)
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [write.addr.eq(pointer), write.data.eq(0), write.en.eq(1)]
                m.d.sync += pointer.eq(pointer + 1)
                with m.If(pointer == n - 1):
                    m.next = "ACCEPT"
            with m.State("ACCEPT"):
                m.d.comb += self.i_mark.ready.eq(1)
                m.d.sync += mark.eq(self.i_mark.payload)
                with m.If(self.i_mark.valid):
                    m.next = "READ"
                with m.Elif(~self.next_valid & (self.in_use != n)):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += pointer.eq(pointer + 1)
                with m.If(~was_used):
                    m.d.sync += [self.next.eq(pointer), self.next_valid.eq(1)]
                m.next = "ACCEPT"
            with m.State("READ"):
                m.d.comb += read.addr.eq(mark.conn)
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += write.en.eq(mark.conn < n)
                with m.If(write.en):
                    m.d.sync += self.half_open.eq(self.half_open + half - was_half)
                with m.If(write.en & (used != was_used)):
                    with m.If(used):
                        m.d.sync += self.in_use.eq(self.in_use + 1)
                        with m.If(mark.conn == self.next):
                            m.d.sync += self.next_valid.eq(0)
                    with m.Else():
                        m.d.sync += self.in_use.eq(self.in_use - 1)
                m.next = "ACCEPT"
        return m
