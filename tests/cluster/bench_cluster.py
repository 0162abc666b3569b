"""cocotb bench: a cluster under a small director of its own, against `ClusterModel`."""
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
from spps.ucode.asm import assemble
from spps_sim.model.cluster import ClusterModel, event_message, header
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
)

from tests.cluster.random_program import random_program

SEED = int(os.environ["SPPS_SEED"])
IDLE = float(os.environ.get("SPPS_P_IDLE", "0"))
PAUSE = float(os.environ.get("SPPS_P_PAUSE", "0"))
PARAMS = TINY.replace(**json.loads(os.environ.get("SPPS_PARAMS", "{}")))
INDEX = PARAMS.clusters - 1
LOAD, WRITE_BACK, CLEAR = 0, 1, 2
DONE, RELEASE, SYNC, SOCKET = 2, 4, 6, 2      # kinds and unit of messages
HALTED = 0xF8


class TB:
    """The cluster, flowstate memory, and the books of a director: which flow is in which workspace."""

    def __init__(self, dut, image=(), *, runaway=600, load_delay=0):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info(f"seed {SEED} idle {IDLE} pause {PAUSE}")
        start_clock(dut)
        csr = {name: self.rng.getrandbits(32) for name in ("now", "cycles", "isn_clock", "epoch")}
        csr |= {name: self.rng.getrandbits(1) for name in ("active", "sync_ready", "protect", "fast_ready")}
        csr["pool_status"] = self.rng.getrandbits(8)
        for name, value in csr.items():
            getattr(dut, name).value = value
        dut.runaway.value = runaway
        dut.halt.value = dut.stuck.value = 0
        dut.cfg.value = 0
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
            self.dut.cfg.value = pack(ConfigWord, {"valid": 1, "index": index, "value": value})
            await RisingEdge(self.dut.clk)
            self.dut.cfg.value = 0

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
        raise AssertionError(f"waited {cycles} clocks: dones {self.dones}, dma {len(self.o_done.received)}/{self.dma_sent}")

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


@cocotb.test()
async def answers_for_a_fenced_core(dut):
    """A core that gets no more instructions in the middle of a message: cut, payload back, DONE; so for all that waits."""
    tb = TB(dut, runaway=0)
    await tb.start()
    tb.program(assemble("""
        ld   r1, EV.0
        bbc  r1, 0, quick
        send SC.0, 2, 1
forever: jmp forever
quick:  eoe  r0, r0
    """).words)
    await tb.until(tb.i_imem.empty)
    last = PARAMS.cores - 1
    waiting = PARAMS.event_slots - 1

    def event(kind, conn, ref, noflow=0):
        words = tb.event_words(conn, noflow=noflow)
        words[0], words[8] = kind, ref << 16 | bool(ref)
        return words

    tb.dma(LOAD, last, 1, 3)
    tb.message(event_message(last, 1, event(1, 3, 77), load=1))
    await tb.until(lambda: int(dut.busy.value) >> last & 1)
    await ClockCycles(dut.clk, 200)
    dut.stuck.value = 1 << last
    for number in range(waiting):
        tb.message(event_message(last, 1, event(0, 3, 100 + number if number % 2 else 0, noflow=number == 2), load=0))
    await tb.until(tb.i_msg.empty)
    await ClockCycles(dut.clk, 200)
    assert tb.got[last] == [] and int(dut.busy.value) >> last & 1, "a stuck core says nothing"
    dut.halt.value = 1 << last
    await tb.until(lambda: tb.dones == 1 + waiting)
    cut, *answers = tb.got[last]
    assert len(cut) == 3 and cut[2] == 0
    released = [message[0] >> 32 for message in answers if message[0] & 0xFF == RELEASE and message[0] >> 8 & 15 == SOCKET]
    assert released == [77] + [100 + number for number in range(waiting) if number % 2]
    done = [message[1] for message in answers if message[0] & 0xFF == DONE]
    assert [d >> 22 & 1 for d in done] == [1] * (1 + waiting), "every event ends as by a trap"
    assert int(dut.trap_code.value) >> 8 * last & 0xFF == HALTED
    await ClockCycles(dut.clk, 2)
    assert (tb.counters["traps"], tb.counters["voided"], tb.counters["released"]) == (1, waiting, len(released))
    dut.halt.value = dut.stuck.value = 0        # a LOAD makes the workspace good again
    tb.got[last], before = [], tb.dones
    tb.message(event_message(last, 1, event(0, 3, 5), load=0))
    tb.dma(LOAD, last, 1, 3)
    tb.message(event_message(last, 1, event(0, 3, 6), load=1))
    await tb.until(lambda: tb.dones == before + 2)
    assert [message[1] >> 22 & 1 for message in tb.got[last] if message[0] & 0xFF == DONE][-1] == 0


@cocotb.test()
async def keeps_a_copy_of_whole_records(dut):
    """SYNC messages go into flowstate memory when they are whole, of the event's connection and no retirement, before the DONE."""
    tb = TB(dut)
    await tb.start()
    tb.program(assemble("""
        ld   r1, EV.0
        ext  r2, r1, 0, 8
        ori  r2, r2, 2 << 8         ; unit SOCKET
        la   r4, 4 << 24            ; length of a delta
        or   r2, r2, r4
        st   SC.0, r2
        ld   r3, EV.2
        st   SC.1, r3               ; its argument
        send SC.0, 1, 1
        bbs  r1, 8, full
        bbs  r1, 9, broken
        send WS.0, 4
        eoe  r0, r0
full:   send WS.0, 16, 1
        send WS.64, 8
        eoe  r0, r0
broken: send WS.0, 3, 1
        trap 1
    """).words)
    await tb.until(tb.i_imem.empty)
    conn = 2
    tb.model.load(0, 0, conn)
    tb.dma(LOAD, 0, 0, conn)
    state = tb.flowstates[conn]

    def beats(first, count, to):
        return [(conn, to + i, state[2 * (first + i)] | state[2 * (first + i) + 1] << 32) for i in range(count)]

    # the full record of this program is words 0..31 and 64..79: lines 0..3, then 8, 9
    whole = [beats(0, 4, 0), beats(0, 16, 0) + beats(32, 8, 32)]
    for number, (flag, argument, written) in enumerate((
            (0, conn, whole[0]), (1, conn | 1 << 16, whole[1]), (0, conn | 1 << 16, []), (1, conn, []), (1, conn | 2 << 16, []),
            (0, conn + 1, []), (0, conn, whole[0]), (2, conn, []))):
        tb.written = []
        words = tb.event_words(conn)
        words[0], words[2] = SYNC | flag << 8, argument
        tb.message(event_message(0, 0, words, load=number == 0))
        await tb.until(lambda: tb.dones == number + 1)
        assert tb.written == written, f"record {number}"
    assert tb.counters["recorded"] == 3
