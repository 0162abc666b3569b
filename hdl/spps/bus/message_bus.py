"""The message bus: everything that units say to one another in short messages."""
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, Delivery
from ..layouts.lookup import LookupCommand
from ..layouts.message import beat_layout, beat_signature
from ..lib.stream_arbiter import StreamArbiter
from .delivery_serializer import DeliverySerializer
from .message_router import MessageRouter

__all__ = ["MessageBus"]


class MessageBus(wiring.Component):
    """Crossbar from the director to the clusters and from the clusters to director, lookup and socket memory.

    Source: patent §VI, F3 (message bus 314), F7 742. Deadlock order: README.md.

    Parameters: params.
    Members: i_delivery: stream(Delivery); i_cluster, o_cluster: arrays of params.clusters beat streams; o_socket: beats;
    o_lookup: stream(LookupCommand); o_done: stream(CoreDone); count: COUNTERS.
    Latency: delivery 1 clock; cluster to socket 4, to o_done and o_lookup 4 after the last beat.
    Throughput: 1 beat per clock and target.
    Backpressure: a target holds only the clusters whose oldest message is for it; o_cluster[n] holds i_delivery only
    when the delivery at its head is for n.
    Drop: COUNTERS bad_unit, bad_length: swallowed whole. Reset: empty.
    """

    COUNTERS = ("bad_unit", "bad_length")

    def __init__(self, params):
        self.params = params
        n = params.clusters
        super().__init__({
            "i_delivery": In(stream.Signature(Delivery)),
            "i_cluster": In(beat_signature()).array(n),
            "o_cluster": Out(beat_signature()).array(n),
            "o_socket": Out(beat_signature()),
            "o_lookup": Out(stream.Signature(LookupCommand)),
            "o_done": Out(stream.Signature(CoreDone)),
            "count": Out(unsigned(2)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.clusters
        tagged = data.StructLayout({"command": LookupCommand, "cluster": unsigned(4)})
        m.submodules.join_done = join_done = StreamArbiter(CoreDone, n, packets=False)
        m.submodules.join_lookup = join_lookup = StreamArbiter(tagged, n, packets=False)
        m.submodules.join_socket = join_socket = StreamArbiter(beat_layout(), n)
        wiring.connect(m, join_done.o, wiring.flipped(self.o_done))
        wiring.connect(m, join_socket.o, wiring.flipped(self.o_socket))
        m.d.comb += [
            self.o_lookup.payload.eq(join_lookup.o.payload.command),
            self.o_lookup.valid.eq(join_lookup.o.valid),
            join_lookup.o.ready.eq(self.o_lookup.ready),
        ]
        lookup_left = self.o_lookup.valid & self.o_lookup.ready

        routers = []
        for k in range(n):
            m.submodules[f"router_{k}"] = router = MessageRouter(self.params, k)
            routers.append(router)
            wiring.connect(m, wiring.flipped(self.i_cluster[k]), router.i)
            wiring.connect(m, router.o_done, join_done.i[k])
            wiring.connect(m, router.o_socket, join_socket.i[k])
            m.d.comb += [
                join_lookup.i[k].payload.command.eq(router.o_lookup.payload),
                join_lookup.i[k].payload.cluster.eq(k),
                join_lookup.i[k].valid.eq(router.o_lookup.valid),
                router.o_lookup.ready.eq(join_lookup.i[k].ready),
                router.lookup_left.eq(lookup_left & (join_lookup.o.payload.cluster == k)),
            ]

        bad_cluster = Signal()
        with m.Switch(self.i_delivery.payload.cluster):
            for k in range(n):
                m.submodules[f"serializer_{k}"] = serializer = DeliverySerializer(self.params, k)
                wiring.connect(m, serializer.o, wiring.flipped(self.o_cluster[k]))
                m.d.comb += serializer.i.payload.eq(self.i_delivery.payload)
                with m.Case(k):
                    m.d.comb += [
                        serializer.i.valid.eq(self.i_delivery.valid),
                        self.i_delivery.ready.eq(serializer.i.ready),
                    ]
            with m.Default():
                m.d.comb += [self.i_delivery.ready.eq(1), bad_cluster.eq(self.i_delivery.valid)]

        # two clusters may err in one clock: COUNTERS are pulses, so errors queue in small counters
        errors = [sum((r.count[bit] for r in routers), bad_cluster if bit == 0 else 0) for bit in range(2)]
        for bit, new in enumerate(errors):
            owed = Signal(4, name=f"owed_{self.COUNTERS[bit]}")
            m.d.comb += self.count[bit].eq(owed != 0)
            m.d.sync += owed.eq(owed + new - (owed != 0))
        return m
