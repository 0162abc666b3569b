"""Several readers of one memory that answers in order."""
from amaranth.hdl import Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream_arbiter import StreamArbiter

__all__ = ["ReadShare"]


class ReadShare(wiring.Component):
    """Shares one request stream and its answer stream between n clients; each answer goes to the client that asked.

    Parameters
    ----------
    request, answer : ShapeLike
        Payloads. An answer is a packet: its payload has a field `last`.
    n : int
        Clients, at least 1; ValueError otherwise.
    depth : int
        Requests under way, at least 1. The default covers the two requests that the arbiter holds and two in the
        memory.

    Members
    -------
    i_request : In(stream of request), n times
        Requests of the clients.
    o_answer : Out(stream of answer), n times
        Answers to the clients.
    o_request : Out(stream of request)
        To the memory, which answers in order.
    i_answer : In(stream of answer)
        From the memory.

    Timing
    ------
    Latency 2 clocks for a request, 0 for an answer. Throughput 1 transfer per clock. Requests wait while `depth` are
    under way. A client that does not take its answer holds the answers behind it; `i_answer.ready` is combinational
    in its `ready`.

    Drop
    ----
    None.

    Reset
    -----
    Nothing under way.
    """

    def __init__(self, request, answer, n, *, depth=4):
        if depth < 1:
            raise ValueError(f"depth={depth!r}: must be at least 1")
        self.request, self.n, self.depth = request, n, depth
        super().__init__({
            "i_request": In(stream.Signature(request)).array(n),
            "o_answer": Out(stream.Signature(answer)).array(n),
            "o_request": Out(stream.Signature(request)),
            "i_answer": In(stream.Signature(answer)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = StreamArbiter(self.request, self.n, packets=False)
        m.submodules.order = order = fifo.SyncFIFOBuffered(width=max(1, (self.n - 1).bit_length()), depth=self.depth)
        # the arbiter's skid buffer keeps order, so the k-th grant is the k-th request that leaves
        for k in range(self.n):
            m.d.comb += [
                arbiter.i[k].payload.eq(self.i_request[k].payload),
                arbiter.i[k].valid.eq(self.i_request[k].valid & order.w_rdy),
                self.i_request[k].ready.eq(arbiter.i[k].ready & order.w_rdy),
            ]
            with m.If(self.i_request[k].valid & self.i_request[k].ready):
                m.d.comb += [order.w_en.eq(1), order.w_data.eq(k)]
        wiring.connect(m, arbiter.o, wiring.flipped(self.o_request))
        for k in range(self.n):
            m.d.comb += self.o_answer[k].payload.eq(self.i_answer.payload)
            with m.If(order.r_rdy & (order.r_data == k)):
                m.d.comb += [self.o_answer[k].valid.eq(self.i_answer.valid),
                             self.i_answer.ready.eq(self.o_answer[k].ready)]
        m.d.comb += order.r_en.eq(self.i_answer.valid & self.i_answer.ready & self.i_answer.payload.last)
        return m
