"""Clocks from the director's taking of an event to its first instruction; part of `spps bench`.

Director, bus, one cluster and flowstate memory as in `spps.top`, otherwise idle, in Amaranth's simulator. The program's
first instruction reads the cycle counter, and the answer comes back as the deadline of the Done. Figures:
new        first event of a connection: the DMA clears its flowstate
loaded     the flowstate comes from flowstate memory
resident   it is still in the workspace
written_back   clocks from the Done to the end of the write-back of two lines, in which the flow's next event would wait
"""
# pyright: reportAttributeAccessIssue=false
# Members of signatures are made at run time: a type checker sees none of them.
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from spps.bus import MessageBus
from spps.cluster import ProtocolCluster
from spps.director import FlowDirector
from spps.layouts.config import CONFIG_BITS
from spps.layouts.event import EventKind
from spps.lookup import FlowstateMemory
from spps.params import TINY
from spps.ucode.asm import assemble

__all__ = ["measure"]

_PATIENCE = 10_000
_ONE_CORE = TINY.replace(cores=1)

PROGRAM = """
        csr     r1, cycles
        st      WS.0, r1
        st      WS.8, r1
        eoe     r1, r0
"""


class _Path(Elaboratable):
    def __init__(self, params):
        self.director, self.bus, self.flowstate = FlowDirector(params), MessageBus(params), FlowstateMemory(params)
        self.cluster = ProtocolCluster(params, image=assemble(PROGRAM).words)
        self.cycles = Signal(32)

    def elaborate(self, platform):
        m = Module()
        director, bus, cluster, flowstate = self.director, self.bus, self.cluster, self.flowstate
        m.submodules.director, m.submodules.bus = director, bus
        m.submodules.cluster, m.submodules.flowstate = cluster, flowstate
        for source, target in ((director.o_delivery, bus.i_delivery), (bus.o_done, director.i_done),
                               (bus.o_cluster[0], cluster.i_msg), (cluster.o_msg, bus.i_cluster[0]),
                               (cluster.o_fs_read, flowstate.i_read), (flowstate.o_data, cluster.i_fs_data),
                               (cluster.o_fs_write, flowstate.i_write)):
            wiring.connect(m, source, target)
        m.d.sync += self.cycles.eq(self.cycles + 1)
        m.d.comb += [
            cluster.i_dma.payload.eq(director.o_dma.payload.command), cluster.i_dma.valid.eq(director.o_dma.valid),
            director.o_dma.ready.eq(cluster.i_dma.ready),
            director.i_dma_done.payload.command.eq(cluster.o_dma_done.payload),
            director.i_dma_done.valid.eq(cluster.o_dma_done.valid),
            cluster.o_dma_done.ready.eq(director.i_dma_done.ready), cluster.csr.cycles.eq(self.cycles),
            cluster.csr.cfg.valid.eq(1), cluster.csr.cfg.index.eq(self.cycles[:CONFIG_BITS]),
            director.core_enable.eq(~0), director.o_set.ready.eq(1), director.o_answer.ready.eq(1),
            director.o_free.ready.eq(1), bus.o_socket.ready.eq(1), bus.o_lookup.ready.eq(1), bus.o_replay.ready.eq(1),
            *(mask.eq(~0) for mask in director.masks),
        ]
        return m


def measure(params=_ONE_CORE):
    """Clocks {"new", "loaded", "resident", "written_back"}.

    Raises RuntimeError naming what does not come within _PATIENCE clocks.
    """
    path = _Path(params)
    director, found = path.director, {}

    async def until(ctx, signal):
        for _ in range(_PATIENCE):
            if ctx.get(signal):
                return
            await ctx.tick()
        raise RuntimeError(f"{signal.name}: low for {_PATIENCE} clocks")

    async def event(ctx, conn, new=0):
        """Offers an event; returns the clocks to its first instruction, and to the end of its write-back."""
        ctx.set(director.i_event.payload.conn, conn)
        ctx.set(director.i_event.payload.new, new)
        ctx.set(director.i_event.valid, 1)
        await until(ctx, director.i_event.ready)
        taken = ctx.get(path.cycles)
        await ctx.tick()
        ctx.set(director.i_event.valid, 0)
        await until(ctx, director.o_set.valid)
        first, done = ctx.get(director.o_set.payload.deadline), ctx.get(path.cycles)
        await until(ctx, director.idle)
        return first - taken, ctx.get(path.cycles) - done

    async def bench(ctx):
        ctx.set(director.i_event.payload.kind, EventKind.TCP)
        await ctx.tick().repeat(100)
        found["new"], _ = await event(ctx, 0, new=1)
        found["resident"], found["written_back"] = await event(ctx, 0)
        for conn in range(1, params.workspaces + 1):        # the others need its place
            await event(ctx, conn, new=1)
        found["loaded"], _ = await event(ctx, 0)

    simulator = Simulator(path)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return found
