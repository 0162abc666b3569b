"""Reassembly of interleaved bursts into whole packets, per port."""
from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..layouts.packet import packet_signature
from ..lib.counters import Counters
from .control import burst_word_layout

__all__ = ["PortBuffers"]


class PortBuffers(wiring.Component):
    """Reassemble the interleaved bursts of the ports into whole packets, in one ring of words per port.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, ports, max_frame.
    headroom : int, bytes
        Free space of a ring below which its bit of `near_full` is set.

    Members
    -------
    i_valid : In(1)
        `i` holds a word.
    i : In(burst_word_layout)
        Words of bursts. They never wait.
    poison : In(1), pulse
        Every open packet, also that of `i` in this clock, will leave with err.
    o : Out(stream of packet)
        Whole packets, ports in turn.
    near_full : Out(ports)
        One bit per port: less than `headroom` is free.
    half : Out(ports)
        One bit per port: more than half of the ring is used.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency four clocks from the last word of a packet to its first at `o`. Throughput one word per clock in and out,
    two clocks between packets. `i` never waits: a packet that finds its ring full is lost.

    Drop
    ----
    overflow, missing_eop: the whole packet. missing_sop: words up to the end of the packet. oversize: what is beyond
    max_frame; the rest leaves with err.

    Reset
    -----
    Empty. The memory is not reset: pointers say which rows were written.

    Source
    ------
    OIF-SPI4-02.1 §6.2.
    """

    COUNTERS = Counters({
        "packets": "packets that the sink passes on, good or with err",
        "missing_sop": "ends of packets left out because their beginning is missing",
        "missing_eop": "open packets lost because another began on their port",
        "oversize": "packets cut at max_frame bytes; they leave with err",
        "overflow": "packets lost because the ring of their port was full",
    })

    def __init__(self, params, *, headroom=1024):
        self.params = params
        size = params.data_bytes
        self.depth = 1 << ceil_log2((2 * params.max_frame + headroom) // size)
        self.headroom = headroom // size
        self.limit = -(-params.max_frame // size)       # words of a packet
        super().__init__({
            "i_valid": In(1), "i": In(burst_word_layout(params.data_width)), "poison": In(1),
            "o": Out(packet_signature(params.data_width)),
            "near_full": Out(params.ports), "half": Out(params.ports), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        row = data.StructLayout({"data": p.data_width, "empty": range(p.data_bytes), "last": 1, "err": 1})
        self._bits = bits = ceil_log2(self.depth)
        m.submodules.ring = ring = memory.Memory(shape=row, depth=p.ports << bits, init=[], attrs={"no_rw_check": 1})
        self._head, self._tail = self._per_port("head", bits + 1), self._per_port("tail", bits + 1)     # write, read
        whole = self._per_port("whole", range(self.depth + 1))          # packets that may leave
        commit = self._store(m, ring.write_port())
        done = self._send(m, ring.read_port(), whole)
        for n in range(p.ports):
            used = Signal(bits + 1, name=f"used_{n}")
            m.d.comb += used.eq(self._head[n] - self._tail[n])
            m.d.sync += [
                whole[n].eq(whole[n] + commit[n] - done[n]),
                self.near_full[n].eq(used > self.depth - self.headroom), self.half[n].eq(used > self.depth // 2),
            ]
        return m

    def _per_port(self, name, shape):
        """One register per port."""
        return Array(Signal(shape, name=f"{name}_{n}") for n in range(self.params.ports))

    def _store(self, m, write):
        """Words into the rings. Returns one bit per port: a packet became whole."""
        p, bits, head, tail = self.params, self._bits, self._head, self._tail
        found = Signal(self.COUNTERS.layout)
        m.d.sync += self.count.eq(found)
        start = self._per_port("start", bits + 1)                       # where the open packet begins
        is_open, skip, poisoned = (self._per_port(name, 1) for name in ("open", "skip", "poisoned"))
        length = self._per_port("length", range(self.limit + 1))
        commit = Signal(p.ports)

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
            write.addr.eq(Cat(base[:bits], port)),
            write.data.data.eq(self.i.data), write.data.empty.eq(Mux(self.i.last, self.i.empty, 0)),
            write.data.last.eq(ends), write.data.err.eq(ends & error),
        ]
        with m.If(self.i_valid):
            m.d.comb += found.missing_eop.eq(self.i.sop & is_open[port])
            with m.If(~self.i.sop & ~is_open[port]):
                m.d.comb += found.missing_sop.eq(~skip[port])
                m.d.sync += skip[port].eq(~self.i.last)
            with m.Elif(~free):
                m.d.comb += found.overflow.eq(1)
                m.d.sync += [
                    is_open[port].eq(0), skip[port].eq(~self.i.last), head[port].eq(Mux(self.i.sop, base, start[port])),
                ]
            with m.Else():
                m.d.comb += [
                    write.en.eq(1), found.oversize.eq(cut), found.packets.eq(ends), commit.bit_select(port, 1).eq(ends),
                ]
                m.d.sync += [
                    head[port].eq(base + 1), length[port].eq(count + 1), is_open[port].eq(~ends),
                    skip[port].eq(cut & ~self.i.last), poisoned[port].eq(error),
                ]
                with m.If(self.i.sop):
                    m.d.sync += start[port].eq(base)
        with m.If(self.poison):
            m.d.sync += [bit.eq(1) for bit in poisoned]
        return commit

    def _send(self, m, read, whole):
        """Whole packets to `o`. Returns one bit per port: a packet has left."""
        p, bits, tail = self.params, self._bits, self._tail
        done = Signal(p.ports)
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
        return done
