"""cocotb bench: a cluster under a small director of its own, against `ClusterModel`."""
import json
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.cluster import ProtocolCluster
from spps.layouts.config import CONFIG
from spps.layouts.message import DmaCommand, FlowstateBeat, FlowstateWrite, InstructionWrite, beat_layout
from spps.params import TINY
from spps.ucode.asm import assemble
from spps_sim.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.model.cluster import ClusterModel, event_message, header

from random_program import random_program

SEED = int(os.environ["SPPS_SEED"])
IDLE = float(os.environ.get("SPPS_P_IDLE", "0"))
PAUSE = float(os.environ.get("SPPS_P_PAUSE", "0"))
PARAMS = TINY.replace(**json.loads(os.environ.get("SPPS_PARAMS", "{}")))
INDEX = PARAMS.clusters - 1
LOAD, WRITE_BACK = 0, 1


class TB:
    """The cluster, flowstate memory, and the books of a director: which flow is in which workspace."""

    def __init__(self, dut, image=(), *, runaway=600, load_delay=0):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info(f"seed {SEED} idle {IDLE} pause {PAUSE}")
        start_clock(dut)
        csr = {name: self.rng.getrandbits(32) for name in ("now", "cycles", "isn_clock", "epoch")}
        csr |= {name: self.rng.getrandbits(1) for name in ("role", "sync_ready", "protect")}
        for name, value in csr.items():
            getattr(dut, name).value = value
        dut.runaway.value = runaway
        cfg = [self.rng.getrandbits(32) for _ in CONFIG]
        dut.cfg.value = sum(value << 32 * i for i, value in enumerate(cfg))
        csr |= {f"cfg.{c.name}": value for c, value in zip(CONFIG, cfg)}
        self.flowstates = {conn: [self.rng.getrandbits(32) for _ in range(128)] for conn in range(PARAMS.connections)}
        self.model = ClusterModel(PARAMS, image, index=INDEX, csr=csr, runaway=runaway,
                                  flowstates={conn: list(words) for conn, words in self.flowstates.items()})

        def source(name, layout):
            return StreamSource(dut, name, dut.clk, layout=layout, idle=IDLE, rng=random.Random(self.rng.random()))

        def sink(name, layout, callback=None):
            return StreamSink(dut, name, dut.clk, layout=layout, pause=PAUSE, callback=callback,
                              rng=random.Random(self.rng.random()))

        self.i_msg, self.i_dma = source("i_msg", beat_layout()), source("i_dma", DmaCommand)
        self.i_fs_data, self.i_imem = source("i_fs_data", FlowstateBeat), source("i_imem", InstructionWrite)
        self.o_msg, self.o_done = sink("o_msg", beat_layout(), self.take_beat), sink("o_dma_done", DmaCommand)
        self.o_fs_write = sink("o_fs_write", FlowstateWrite, self.take_write)
        self.o_fs_read = sink("o_fs_read", None, self.answer)
        self.partial, self.got = [], {core: [] for core in range(PARAMS.cores)}
        self.want = {core: [] for core in range(PARAMS.cores)}
        self.dones = 0
        self.written = []
        self.counters = dict.fromkeys(ProtocolCluster.counters(PARAMS), 0)
        self.clocks = 0
        self.bound = {}     # (core, workspace) -> conn
        self.dma_sent = 0
        cocotb.start_soon(self.count())

    async def start(self):
        await reset(self.dut)

    async def count(self):
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            if not self.dut.count.value.is_resolvable or int(self.dut.rst.value):
                continue
            self.clocks += 1
            bits = int(self.dut.count.value)
            for index, name in enumerate(self.counters):
                self.counters[name] += bits >> index & 1

    def take_beat(self, beat):
        self.partial.append(beat["data"])
        if beat["last"]:
            core = self.partial[0] >> 12 & 15
            self.got[core].append(self.partial)
            # random programs may send any header; two beats with exactly this one are an end of event
            self.dones += len(self.partial) == 2 and self.partial[0] == header(2, source=core, cluster=INDEX, length=1)
            self.partial = []

    def take_write(self, write):
        self.written.append((write["conn"], write["beat"], write["data"]))
        words = self.flowstates[write["conn"]]
        words[2 * write["beat"]:2 * write["beat"] + 2] = [write["data"] & 0xFFFFFFFF, write["data"] >> 32]

    def answer(self, conn):
        words = self.flowstates[conn]
        for beat in range(64):
            self.i_fs_data.send({"data": words[2 * beat] | words[2 * beat + 1] << 32, "last": beat == 63})

    def program(self, words):
        """Load a program through i_imem."""
        for address, word in enumerate(words):
            self.i_imem.send({"cluster": INDEX, "address": address, "data": word})
        self.model.program(words)

    def dma(self, op, core, workspace, conn):
        self.i_dma.send({"op": op, "core": core, "workspace": workspace, "conn": conn})
        self.dma_sent += 1

    def message(self, beats):
        for index, beat in enumerate(beats):
            self.i_msg.send({"data": beat, "last": index == len(beats) - 1})

    def event_words(self, conn, *, leg=0, noflow=0):
        words = [self.rng.getrandbits(32) for _ in range(16)]
        words[1] = conn | leg << 16 | noflow << 18
        return words

    def deliver(self, core, workspace, words, *, load):
        self.message(event_message(core, workspace, words, load=load))
        self.want[core] += self.model.event(core, workspace, words)

    def any_event(self):
        """What a director would do with an event of a random flow, if there is a workspace for it."""
        rng = self.rng
        conn = rng.randrange(PARAMS.connections)
        place = next((place for place, other in self.bound.items() if other == conn), None)
        words = self.event_words(conn, leg=rng.getrandbits(1))
        if place is not None:
            self.deliver(*place, words, load=0)
            return 1
        free = [(c, w) for c in range(PARAMS.cores) for w in range(PARAMS.workspaces) if (c, w) not in self.bound]
        if not free:
            return 0
        place = rng.choice(free)
        self.bound[place] = conn
        self.model.load(*place, conn)
        early = rng.random() < 0.5      # the two paths of the real director do not keep order
        if early:
            self.dma(LOAD, *place, conn)
        self.deliver(*place, words, load=1)
        if not early:
            self.dma(LOAD, *place, conn)
        return 1

    async def until(self, condition, cycles=60_000):
        for _ in range(cycles):
            if condition():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"waited {cycles} clocks: dones {self.dones}, dma {len(self.o_done.received)}/{self.dma_sent}")

    async def write_back(self, chance=1.0):
        """Retire workspaces whose events are over; flowstate memory must then hold what the model holds."""
        expected = []
        for place, conn in sorted(self.bound.items()):
            if self.rng.random() < chance:
                self.dma(WRITE_BACK, *place, conn)
                expected += self.model.write_back(*place, conn)
                del self.bound[place]
        await self.until(lambda: len(self.o_done.received) == self.dma_sent)
        self.check_messages()
        assert self.written == expected, first_difference(self.written, expected)
        self.written = []

    def check_messages(self):
        for core, want in self.want.items():
            assert self.got[core] == want, f"core {core}: {first_difference(self.got[core], want)}"

    async def finish(self):
        """Everything has arrived, nothing more comes, the counters balance."""
        await self.write_back()
        await ClockCycles(self.dut.clk, 200)
        assert not self.partial
        assert self.flowstates == self.model.flowstates
        for name, value in self.model.counters.items():
            assert self.counters[name] == value, (name, self.counters[name], value)
        for core in range(PARAMS.cores):
            clocks = [self.counters[f"core{core}_{name}_cycles"] for name in ("busy", "stalled", "idle")]
            assert self.clocks - 1 <= sum(clocks) <= self.clocks, (core, clocks, self.clocks)
        assert int(self.dut.busy.value) == 0
        for core, (code, pc) in self.model.traps.items():
            assert int(self.dut.trapped.value) >> core & 1
            assert int(self.dut.trap_code.value) >> 8 * core & 0xFF == code
            assert int(self.dut.trap_pc.value) >> 12 * core & 0xFFF == pc
        for stream in (self.i_msg, self.i_dma, self.i_fs_data, self.i_imem):
            assert stream.empty()


def first_difference(got, want):
    for index, (g, w) in enumerate(zip(got, want)):
        if g != w:
            where = [(n, hex(x), hex(y)) for n, (x, y) in enumerate(zip(g, w)) if x != y]
            return f"number {index}, {len(g)} words, want {len(w)}; (word, got, want): {where}"
    return f"{len(got)}, want {len(want)}"


@cocotb.test()
async def runs_random_programs_like_the_simulator(dut):
    tb = TB(dut)
    await tb.start()
    events = 0
    for _ in range(int(os.environ.get("SPPS_P_PROGRAMS", "10"))):
        tb.program(random_program(tb.rng, PARAMS))
        await tb.until(tb.i_imem.empty)
        await ClockCycles(dut.clk, 5)
        for _ in range(4):
            events += tb.any_event()
        await tb.until(lambda: tb.dones == events)
        for core in range(PARAMS.cores):        # no flow; random programs write to the workspace all the same
            tb.deliver(core, tb.rng.randrange(PARAMS.workspaces), tb.event_words(0, noflow=1), load=0)
            events += 1
        await tb.until(lambda: tb.dones == events)
        await tb.write_back(0.5)
    await tb.finish()


@cocotb.test()
async def counts_and_discards_messages_that_are_no_events(dut):
    tb = TB(dut)
    await tb.start()
    tb.program(assemble("eoe r0, r0").words)
    await tb.until(tb.i_imem.empty)
    good = event_message(0, 0, tb.event_words(3, noflow=1), load=0)
    broken = [
        [3] + good[1:],                                         # not an EVENT
        [good[0] | 15 << 12] + good[1:],                        # no such core
        [good[0] | 9 << 32] + good[1:],                         # no such workspace
        good[:1], good[:4], good + good[1:3],                   # too short, too long
    ]
    for beats in broken:
        tb.message(beats)
        tb.deliver(0, 0, tb.event_words(3, noflow=1), load=0)
    await tb.until(lambda: tb.dones == len(broken))
    await tb.finish()
    assert tb.counters["bad_message"] == len(broken)


@cocotb.test()
async def runs_on_after_a_runaway(dut):
    tb = TB(dut, runaway=100)
    await tb.start()
    tb.program(assemble("""
        ld   r1, EV.0
        bbc  r1, 0, quick
forever: jmp forever
quick:  li   r2, 7
        eoe  r2, r0
    """).words)
    await tb.until(tb.i_imem.empty)
    for core in range(PARAMS.cores):
        for kind in (1, 2, 1, 2):
            words = tb.event_words(0, noflow=1)
            words[0] = kind
            tb.deliver(core, 0, words, load=0)
    await tb.until(lambda: tb.dones == 4 * PARAMS.cores)
    await tb.finish()
    assert tb.counters["traps"] == 2 * PARAMS.cores


@cocotb.test()
async def refuses_dma_for_a_core_that_does_not_exist(dut):
    tb = TB(dut)
    await tb.start()
    tb.dma(LOAD, PARAMS.cores, 0, 1)
    tb.dma(WRITE_BACK, 0, PARAMS.workspaces, 1)
    await tb.until(lambda: len(tb.o_done.received) == 2)
    await tb.finish()
    assert tb.counters["bad_command"] == 2
