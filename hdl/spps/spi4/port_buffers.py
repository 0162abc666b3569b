"""Reassembly of interleaved bursts into whole packets, per port."""
from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..layouts.packet import packet_signature
from .control import burst_word_layout

__all__ = ["PortBuffers"]


class PortBuffers(wiring.Component):
    """One ring of words per port; whole packets leave, ports in turn.

    Parameters: params: data_width, ports, max_frame; headroom, bytes.
    Members: i_valid, i; poison, pulse: every open packet, also that of i in this clock, will leave with err; o; near_full,
    half: one bit per port:
    less than headroom is free, more than half is used; errors, one pulse per ERRORS entry.
    Latency: four clocks from the last word of a packet. Throughput: one word per clock in and out, two clocks between packets.
    Backpressure: none at i; a ring that is full loses the packet. Drop: overflow, missing_eop (an open packet meets SOP):
    the whole packet;
    missing_sop: words up to the end of packet; oversize: what is beyond max_frame, the rest leaves with err.
    Reset: empty; the memory's contents are guarded by the pointers.
    """

    ERRORS = ("packets", "missing_sop", "missing_eop", "oversize", "overflow")

    def __init__(self, params, *, headroom=1024):
        self.params = params
        size = params.data_bytes
        self.depth = 1 << ceil_log2((2 * params.max_frame + headroom) // size)
        self.headroom = headroom // size
        self.limit = -(-params.max_frame // size)       # words of a packet
        super().__init__({
            "i_valid": In(1), "i": In(burst_word_layout(params.data_width)), "poison": In(1),
            "o": Out(packet_signature(params.data_width)),
            "near_full": Out(params.ports), "half": Out(params.ports), "errors": Out(len(self.ERRORS)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        row = data.StructLayout({"data": p.data_width, "empty": range(p.data_bytes), "last": 1, "err": 1})
        bits = ceil_log2(self.depth)
        m.submodules.ring = ring = memory.Memory(shape=row, depth=p.ports << bits, init=[], attrs={"no_rw_check": 1})
        write, read = ring.write_port(), ring.read_port()
        errors = Signal(data.StructLayout({name: 1 for name in self.ERRORS}))
        m.d.sync += self.errors.eq(errors)

        def per_port(name, shape):
            return Array(Signal(shape, name=f"{name}_{n}") for n in range(p.ports))

        head, start, tail = (per_port(name, bits + 1) for name in ("head", "start", "tail"))     # write, packet, read
        is_open, skip, poisoned = (per_port(name, 1) for name in ("open", "skip", "poisoned"))
        length = per_port("length", range(self.limit + 1))
        whole = per_port("whole", range(self.depth + 1))        # packets that may leave
        commit, done = Signal(p.ports), Signal(p.ports)

        port = Signal(range(p.ports))
        base, count, free = Signal(bits + 1), Signal(range(self.limit + 1)), Signal()
        cut, ends, error = Signal(), Signal(), Signal()
        excess = p.data_bytes * self.limit - p.max_frame        # bytes of the last allowed word that are too many
        m.d.comb += [
            port.eq(self.i.port),
            base.eq(Mux(self.i.sop & is_open[port], start[port], head[port])),
            count.eq(Mux(self.i.sop, 0, length[port])),
            free.eq(base - tail[port] != self.depth),
            cut.eq((count == self.limit - 1) & (~self.i.last | (self.i.empty < excess))),
            ends.eq(self.i.last | cut),
            error.eq(self.i.err | self.i.bad | cut | (poisoned[port] & ~self.i.sop) | self.poison),
            write.addr.eq(Cat(base[:bits], port)), write.data.data.eq(self.i.data), write.data.empty.eq(Mux(self.i.last, self.i.empty, 0)),
            write.data.last.eq(ends), write.data.err.eq(ends & error),
        ]
        with m.If(self.i_valid):
            m.d.comb += errors.missing_eop.eq(self.i.sop & is_open[port])
            with m.If(~self.i.sop & ~is_open[port]):
                m.d.comb += errors.missing_sop.eq(~skip[port])
                m.d.sync += skip[port].eq(~self.i.last)
            with m.Elif(~free):
                m.d.comb += errors.overflow.eq(1)
                m.d.sync += [is_open[port].eq(0), skip[port].eq(~self.i.last), head[port].eq(Mux(self.i.sop, base, start[port]))]
            with m.Else():
                m.d.comb += [write.en.eq(1), errors.oversize.eq(cut), errors.packets.eq(ends), commit.bit_select(port, 1).eq(ends)]
                m.d.sync += [
                    head[port].eq(base + 1), length[port].eq(count + 1), is_open[port].eq(~ends), skip[port].eq(cut & ~self.i.last),
                    poisoned[port].eq(error),
                ]
                with m.If(self.i.sop):
                    m.d.sync += start[port].eq(base)
        with m.If(self.poison):
            m.d.sync += [bit.eq(1) for bit in poisoned]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        chosen, fetched, take = Signal(range(p.ports)), Signal(), Signal()
        at = Signal(bits + 1)
        m.d.comb += [
            take.eq(fetched & (~self.o.valid | self.o.ready)),
            at.eq(tail[chosen] + take), read.addr.eq(Cat(at[:bits], chosen)),
        ]
        with m.FSM():
            with m.State("CHOOSE"):
                found = Cat(*(n != 0 for n in whole))
                with m.If(found.any()):
                    m.next = "READ"
                with m.Switch(chosen):          # the next port in turn that has a packet
                    for now in range(p.ports):
                        with m.Case(now):
                            for distance in reversed(range(1, p.ports + 1)):
                                candidate = (now + distance) % p.ports
                                with m.If(found[candidate]):
                                    m.d.sync += chosen.eq(candidate)
            with m.State("READ"):
                m.d.sync += fetched.eq(1)
                with m.If(take):
                    m.d.sync += [
                        self.o.valid.eq(1), self.o.p.data.eq(read.data.data), self.o.p.empty.eq(read.data.empty),
                        self.o.p.last.eq(read.data.last), self.o.p.err.eq(read.data.err), self.o.p.port.eq(chosen),
                        tail[chosen].eq(tail[chosen] + 1),
                    ]
                    with m.If(read.data.last):
                        m.d.comb += done.bit_select(chosen, 1).eq(1)
                        m.d.sync += fetched.eq(0)
                        m.next = "CHOOSE"
        for n in range(p.ports):
            used = Signal(bits + 1, name=f"used_{n}")
            m.d.comb += used.eq(head[n] - tail[n])
            m.d.sync += [
                whole[n].eq(whole[n] + commit[n] - done[n]),
                self.near_full[n].eq(used > self.depth - self.headroom), self.half[n].eq(used > self.depth // 2),
            ]
        return m
