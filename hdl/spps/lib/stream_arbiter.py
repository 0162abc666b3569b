"""Joins streams, packet by packet."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .skid_buffer import SkidBuffer

__all__ = ["StreamArbiter"]


class StreamArbiter(wiring.Component):
    """Round robin of n streams into one; with `packets` a granted stream keeps the grant up to its `last`.

    Parameters
    ----------
    shape : ShapeLike
        Payload of the streams.
    n : int
        Inputs, at least 1; ValueError otherwise.
    packets : bool
        The payload has a field `last`, and a packet is not interleaved with another.

    Members
    -------
    i : In(stream of shape), n times
        Inputs.
    o : Out(stream of shape)
        Transfers of all inputs.
    grant : Out(range(n))
        Number of the input that is taken now.

    Timing
    ------
    Latency 2 clocks. Throughput 1 transfer per clock inside a packet; one clock is lost between two packets of the
    same input, none between packets of different inputs. `o` is registered both ways; an input without the grant is
    not ready.

    Drop
    ----
    None.

    Reset
    -----
    Nothing granted.
    """

    def __init__(self, shape, n, *, packets=True):
        if n < 1:
            raise ValueError(f"n={n!r}: must be at least 1")
        self.shape, self.n, self.packets = shape, n, packets
        super().__init__({
            "i": In(stream.Signature(shape)).array(n),
            "o": Out(stream.Signature(shape)),
            "grant": Out(range(n)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(self.shape)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        locked = Signal()
        grant = self.grant
        valid = Signal(self.n)
        m.d.comb += valid.eq(Cat(s.valid for s in self.i))
        with m.Switch(grant):
            for k in range(self.n):
                with m.Case(k):
                    m.d.comb += [
                        skid.i.payload.eq(self.i[k].payload),
                        skid.i.valid.eq(valid[k] & locked),
                        self.i[k].ready.eq(locked & skid.i.ready),
                    ]

        done = Signal()         # the packet ends with this transfer
        m.d.comb += done.eq(skid.i.valid & skid.i.ready & (skid.i.payload.last if self.packets else 1))
        with m.If(~locked | done):
            # an input that has just finished gets no grant in this clock: its `valid` belongs to the old transfer
            m.d.sync += locked.eq(0)
            with m.Switch(grant):
                for k in range(self.n):
                    with m.Case(k):
                        order = [(k + 1 + j) % self.n for j in range(self.n)]
                        for j in reversed(order):
                            with m.If(valid[j] & (~done if j == k else 1)):
                                m.d.sync += [grant.eq(j), locked.eq(1)]
        return m
