"""Environment of the cluster benches: flowstate memory and a small director around a cluster, beside `ClusterModel`."""
import json
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.cluster import ProtocolCluster
from spps.layouts.config import CONFIG, ConfigWord
from spps.layouts.dma import DmaCommand, FlowstateBeat, FlowstateWrite
from spps.layouts.message import beat_layout
from spps.layouts.register import InstructionWrite
from spps.params import TINY
from spps_sim.model.cluster import ClusterModel, event_message, header
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
)

__all__ = ["Env", "PARAMS", "first_difference"]

SEED = int(os.environ["SPPS_SEED"])
IDLE = float(os.environ.get("SPPS_P_IDLE", "0"))
PAUSE = float(os.environ.get("SPPS_P_PAUSE", "0"))
PARAMS = TINY.replace(**json.loads(os.environ.get("SPPS_PARAMS", "{}")))
INDEX = PARAMS.clusters - 1
LOAD, WRITE_BACK, CLEAR = 0, 1, 2       # DmaOp
DONE = 2                                # kind of a message


class Env:
    """A cluster with its flowstate memory; keeps, as a director does, which flow is in which workspace."""

    def __init__(self, dut, image=(), *, runaway=600, load_delay=0):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info(f"seed {SEED} idle {IDLE} pause {PAUSE}")
        start_clock(dut)
        csr = {name: self.rng.getrandbits(32) for name in ("now", "cycles", "isn_clock", "epoch")}
        csr |= {name: self.rng.getrandbits(1) for name in ("active", "sync_ready", "protect", "fast_ready")}
        csr["pool_status"] = self.rng.getrandbits(8)
        for name, value in csr.items():
            getattr(dut, f"csr__{name}").value = value
        dut.runaway.value = runaway
        dut.halt.value = dut.stuck.value = 0
        dut.csr__cfg.value = 0
        self.config = [self.rng.getrandbits(32) for _ in CONFIG]
        csr |= {f"cfg.{c.name}": value for c, value in zip(CONFIG, self.config)}
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
        self.written, self.cleared = [], []
        self.counters = dict.fromkeys(ProtocolCluster.counters(PARAMS), 0)
        self.clocks = 0
        self.bound = {}     # (core, workspace) -> conn
        self.dma_sent = 0
        cocotb.start_soon(self.count())

    async def start(self):
        await reset(self.dut)
        self.config_shown = cocotb.start_soon(self.show_config())

    async def show_config(self):
        """Every word of CONFIG once, with gaps; no core may begin before the last."""
        for index, value in enumerate(self.config):
            await ClockCycles(self.dut.clk, self.rng.randrange(1, 4))
            self.dut.csr__cfg.value = pack(ConfigWord, {"valid": 1, "index": index, "value": value})
            await RisingEdge(self.dut.clk)
            self.dut.csr__cfg.value = 0

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
            done = header(DONE, source=core, cluster=INDEX, length=1)
            self.dones += len(self.partial) == 2 and self.partial[0] == done
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
        op = rng.choice((LOAD, LOAD, CLEAR))
        if op == CLEAR:
            self.cleared += self.model.clear(*place, conn)
        else:
            self.model.load(*place, conn)
        early = rng.random() < 0.5      # the two paths of the real director do not keep order
        if early:
            self.dma(op, *place, conn)
        self.deliver(*place, words, load=1)
        if not early:
            self.dma(op, *place, conn)
        return 1

    async def until(self, condition, cycles=60_000):
        for _ in range(cycles):
            if condition():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(
            f"waited {cycles} clocks: dones {self.dones}, dma {len(self.o_done.received)}/{self.dma_sent}")

    async def write_back(self, chance=1.0):
        """Retire workspaces whose events are over; flowstate memory must then hold what the model holds."""
        expected, self.cleared = self.cleared, []
        for place, conn in sorted(self.bound.items()):
            if place in self.model.poisoned:        # nothing in there is worth keeping
                del self.bound[place]
            elif self.rng.random() < chance:
                self.dma(WRITE_BACK, *place, conn)
                expected += self.model.write_back(*place, conn)
                del self.bound[place]
        # the last write may still be on its way out of the cluster when its command is done
        await self.until(lambda: len(self.o_done.received) == self.dma_sent and len(self.written) >= len(expected))
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
