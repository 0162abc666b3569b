"""The message bus: everything that units say to one another in short messages."""
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, Delivery
from ..layouts.lookup import LookupCommand, Replay
from ..layouts.message import beat_layout, beat_signature
from ..layouts.neighbour import Learned
from ..lib.counters import Counters
from ..lib.stream_arbiter import StreamArbiter
from .delivery_serializer import DeliverySerializer
from .message_router import MessageRouter

__all__ = ["MessageBus"]

#: bits of the errors that wait to be counted. Up to five occur in one clock (four clusters and a delivery), one is
#: counted per clock; more than 255 waiting would need a stream of bad messages from several clusters at once
_OWED_BITS = 8


class MessageBus(wiring.Component):
    """Crossbar from the director to the clusters, and from them to director, lookup, socket memory and neighbours.

    The order in which units may wait for one another is in README.md.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_delivery : In(stream of Delivery)
        Events for cores.
    o_cluster : Out(beats), params.clusters times
        EVENT messages for each cluster.
    i_cluster : In(beats), params.clusters times
        Messages of each cluster.
    o_socket : Out(beats)
        Messages for the socket memory controller, unchanged.
    o_lookup : Out(stream of LookupCommand)
        Commands of the cores for the lookup controller.
    o_replay : Out(stream of Replay)
        SYNs that the cores send back to the lookup controller.
    o_learn : Out(stream of Learned)
        Addresses for the neighbour table.
    o_done : Out(stream of CoreDone)
        Ends of events, for the director.
    count : Out(COUNTERS.layout)
        Pulses; errors of one clock follow one another.

    Timing
    ------
    Latency: delivery 1 clock; cluster to `o_socket` 4 clocks, to the other outputs 4 after the last beat.
    Throughput 1 beat per clock and target. A target that waits holds the clusters whose oldest message is for it.
    `o_cluster[n]` holds `i_delivery` while the delivery at its head is for cluster n.

    Drop
    ----
    bad_unit, bad_length : the message or delivery is discarded whole.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §VI, F3 (message bus 314), F7 742.
    """

    COUNTERS = Counters({
        "bad_unit": MessageRouter.COUNTERS["bad_unit"] + ", and deliveries to an unknown cluster",
        "bad_length": MessageRouter.COUNTERS["bad_length"],
    })

    def __init__(self, params):
        self.params = params
        n = params.clusters
        super().__init__({
            "i_delivery": In(stream.Signature(Delivery)),
            "i_cluster": In(beat_signature()).array(n),
            "o_cluster": Out(beat_signature()).array(n),
            "o_socket": Out(beat_signature()),
            "o_lookup": Out(stream.Signature(LookupCommand)),
            "o_replay": Out(stream.Signature(Replay)),
            "o_learn": Out(stream.Signature(Learned)),
            "o_done": Out(stream.Signature(CoreDone)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.clusters
        tagged = data.StructLayout({"command": LookupCommand, "cluster": unsigned(4)})
        m.submodules.join_done = join_done = StreamArbiter(CoreDone, n, packets=False)
        m.submodules.join_lookup = join_lookup = StreamArbiter(tagged, n, packets=False)
        m.submodules.join_replay = join_replay = StreamArbiter(Replay, n, packets=False)
        m.submodules.join_socket = join_socket = StreamArbiter(beat_layout(), n)
        m.submodules.join_learn = join_learn = StreamArbiter(Learned, n, packets=False)
        wiring.connect(m, join_done.o, wiring.flipped(self.o_done))
        wiring.connect(m, join_socket.o, wiring.flipped(self.o_socket))
        wiring.connect(m, join_replay.o, wiring.flipped(self.o_replay))
        wiring.connect(m, join_learn.o, wiring.flipped(self.o_learn))
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
            wiring.connect(m, router.o_replay, join_replay.i[k])
            wiring.connect(m, router.o_learn, join_learn.i[k])
            m.d.comb += [
                join_lookup.i[k].payload.command.eq(router.o_lookup.payload),
                join_lookup.i[k].payload.cluster.eq(k),
                join_lookup.i[k].valid.eq(router.o_lookup.valid),
                router.o_lookup.ready.eq(join_lookup.i[k].ready),
                router.lookup_left.eq(lookup_left & (join_lookup.o.payload.cluster == k)),
            ]

        bad_cluster = Signal()
        self._distribute(m, bad_cluster)
        # several clusters may err in one clock, and a counter counts one per clock: the others wait
        for name, new in (("bad_unit", sum((r.count.bad_unit for r in routers), bad_cluster)),
                          ("bad_length", sum((r.count.bad_length for r in routers[1:]), routers[0].count.bad_length))):
            owed = Signal(_OWED_BITS, name=f"owed_{name}")
            m.d.comb += self.count[name].eq(owed != 0)
            m.d.sync += owed.eq(owed + new - (owed != 0))
        return m

    def _distribute(self, m, bad_cluster):
        """Each delivery to the serializer of its cluster; `bad_cluster` is high when there is none."""
        with m.Switch(self.i_delivery.payload.cluster):
            for k in range(self.params.clusters):
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
