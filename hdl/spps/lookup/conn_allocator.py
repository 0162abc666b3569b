"""Which local flow ids are in use, and which one is given away next."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .marks import Mark, MarkOp

__all__ = ["ConnAllocator"]


class ConnAllocator(wiring.Component):
    """Three bits per connection in memory, and a scanner that keeps the next free id ready.

    The bits: in use, half-open, covered (the standby has its record, or needs none). The scanner goes round the ids, so
    that a freed id is not used again while others are free.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_mark : In(stream of Mark)
        Changes. Marking what is marked has no effect.
    next : Out(range(connections))
        A free id.
    next_valid : Out(1)
        `next` has been found.
    in_use : Out(range(connections + 1)), connections
        Ids in use.
    half_open : Out(range(connections + 1)), connections
        Those of them that are half-open.
    exposed : Out(range(connections + 1)), connections
        Those in use that are neither half-open nor covered.
    uncover : In(1)
        One clock: no id is covered any more. What is marked from the next clock on stays.
    sweeping : Out(1)
        From the clock after `uncover` until that is done. `exposed` is wrong meanwhile.
    scan_conn : In(16)
        Id that a second reader asks about.
    scan_valid : Out(1)
        It is in use; one clock later, also while a mark or a sweep writes its bits.

    Timing
    ------
    A mark takes 3 clocks. The next free id is found after 2 clocks per id in use on the way. `i_mark` waits during a
    mark and a sweep. The sweep of `uncover` takes a clock per id and begins when the mark in hand is done; another
    `uncover` meanwhile makes it begin again.

    Drop
    ----
    A mark of an id that does not exist has no effect (the controller counts it).

    Reset
    -----
    A sweep frees every id, one per clock.

    Source
    ------
    Patent §III.A–B.
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
            "exposed": Out(range(n + 1)),
            "uncover": In(1),
            "sweeping": Out(1),
            "scan_conn": In(16),
            "scan_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        m.submodules.bits = bits = memory.Memory(shape=3, depth=n, init=[], attrs={"no_rw_check": 1})
        write, read, scan = bits.write_port(), bits.read_port(domain="sync"), bits.read_port(domain="sync")
        # a row that is read while it is written is undefined
        collides, written = Signal(), Signal()
        m.d.sync += [collides.eq(write.en & (write.addr == self.scan_conn[:len(write.addr)])),
                     written.eq(write.data[0])]
        m.d.comb += [scan.addr.eq(self.scan_conn), scan.en.eq(1),
                     self.scan_valid.eq(Mux(collides, written, scan.data[0]))]

        pointer = Signal(range(n))      # sweep after reset, then scan
        mark = Signal(Mark)
        was_used, was_half, was_covered, used, half, covered = (
            Signal(name=name) for name in ("was_used", "was_half", "was_covered", "used", "half", "covered"))
        bare, was_bare = used & ~half & ~covered, was_used & ~was_half & ~was_covered
        due, place, behind = Signal(), Signal(range(n)), Signal(range(n))   # of `uncover`
        m.d.comb += [
            read.en.eq(1), read.addr.eq(pointer), Cat(was_used, was_half, was_covered).eq(read.data),
            write.addr.eq(mark.conn), write.data.eq(Cat(used, half, covered)),
        ]
        with m.If(self.uncover):
            m.d.sync += [due.eq(1), self.sweeping.eq(1)]
        with m.Switch(mark.op):
            with m.Case(MarkOp.CREATE):
                m.d.comb += [used.eq(1), half.eq(1)]
            with m.Case(MarkOp.INSERT):
                m.d.comb += [used.eq(1), half.eq(was_half), covered.eq(was_covered)]
            with m.Case(MarkOp.ESTABLISHED):
                m.d.comb += [used.eq(was_used), covered.eq(was_covered)]
            with m.Case(MarkOp.COVERED):
                m.d.comb += [used.eq(was_used), half.eq(was_half), covered.eq(was_used)]
            with m.Case(MarkOp.HALF_OPEN):
                m.d.comb += [used.eq(was_used), half.eq(was_used), covered.eq(was_covered)]
            with m.Case(MarkOp.TIME_WAIT, MarkOp.ENDING):
                m.d.comb += [used.eq(was_used), half.eq(was_half), covered.eq(was_covered)]
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [write.addr.eq(pointer), write.data.eq(0), write.en.eq(1)]
                m.d.sync += pointer.eq(pointer + 1)
                with m.If(pointer == n - 1):
                    m.next = "ACCEPT"
            with m.State("ACCEPT"):
                m.d.comb += self.i_mark.ready.eq(~due)
                m.d.sync += mark.eq(self.i_mark.payload)
                with m.If(due):
                    m.d.comb += read.addr.eq(0)
                    m.d.sync += [place.eq(1), behind.eq(0), due.eq(self.uncover)]
                    m.next = "UNCOVER"
                with m.Elif(self.i_mark.valid):
                    m.next = "READ"
                with m.Elif(~self.next_valid & (self.in_use != n)):
                    m.next = "CHECK"
            with m.State("UNCOVER"):        # an entry is read while the one before it is written
                m.d.comb += [read.addr.eq(place), write.addr.eq(behind), write.en.eq(1),
                             write.data.eq(Cat(was_used, was_half))]
                m.d.sync += [place.eq(place + 1), behind.eq(place)]
                with m.If(behind == n - 1):
                    m.d.sync += [self.exposed.eq(self.in_use - self.half_open), self.sweeping.eq(due | self.uncover)]
                    m.next = "ACCEPT"
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
                    m.d.sync += [self.half_open.eq(self.half_open + half - was_half),
                                 self.exposed.eq(self.exposed + bare - was_bare)]
                with m.If(write.en & (used != was_used)):
                    with m.If(used):
                        m.d.sync += self.in_use.eq(self.in_use + 1)
                        with m.If(mark.conn == self.next):
                            m.d.sync += self.next_valid.eq(0)
                    with m.Else():
                        m.d.sync += self.in_use.eq(self.in_use - 1)
                m.next = "ACCEPT"
        return m
