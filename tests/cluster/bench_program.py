"""cocotb bench: a core against the instruction-set simulator, instruction by instruction and clock by clock."""

import cocotb
from amaranth.lib import data
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.layouts.activity import activity_layout
from spps.ucode.asm import assemble
from spps.ucode.isa import SCRATCH_WORDS
from spps.ucode.programs import default_image
from spps_sim.model.core_clocks import BETWEEN, LEAD, busy_clocks
from tests.cluster.env_cluster import LOAD, PARAMS, Env, first_difference
from tests.cluster.recorded_events import record

CSRS = ("now", "cycles", "isn_clock", "epoch", "active", "sync_ready", "fast_ready", "pool_status", "protect")


class Lockstep(Env):
    """Env with an eye on what core 0 retires and writes, and on the clocks it is busy."""

    def __init__(self, dut, image=()):
        super().__init__(dut, image, runaway=0)
        self.retired, self.writes, self.busy = [], [], []
        core = self.model.cores[0]

        def traced(*arguments, run=core.run_event, **options):
            self.result = run(*arguments, **options)
            return self.result
        core.run_event = traced
        cocotb.start_soon(self.watch())

    async def start(self):
        """With the configuration in the cores: clocks are counted."""
        await super().start()
        await self.config_shown

    async def watch(self):
        core = activity_layout(PARAMS)[0].shape["cores"]
        fields = {name: (core.offset + field.offset, (1 << field.width) - 1)
                  for name, field in data.Layout.cast(core.shape[0].shape)}
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            if int(self.dut.rst.value):
                continue
            # what a register holds before a program writes it is not known
            bits = int(str(self.dut.activity.value).lower().replace("x", "0"), 2)
            now = {name: bits >> offset & mask for name, (offset, mask) in fields.items()}
            if now["retire"]:
                self.retired.append(now["pc"])
            if now["write"]:
                self.writes.append((now["register"], now["result"]))
            self.busy.append(int(self.dut.busy.value))

    async def run(self, words, flowstate=None, csr=None):
        """One event, alone in the cluster; returns its [Step]."""
        for name, value in (csr or {}).items():
            if name in CSRS:
                getattr(self.dut, f"csr__{name}").value = value & 0xFFFFFFFF
            self.model.cores[0].csr[name] = value
        conn, before = words[1] & 0xFFFF, self.counters["core0_busy_cycles"]
        self.retired, self.writes = [], []
        if flowstate is not None:
            self.flowstates[conn], self.model.flowstates[conn] = list(flowstate), list(flowstate)
            self.bound[0, 0] = conn
            self.model.load(0, 0, conn)
            self.dma(LOAD, 0, 0, conn)
        done = self.dones + 1
        self.deliver(0, 0, words, load=int(flowstate is not None))
        await self.until(lambda: self.dones == done)
        await ClockCycles(self.dut.clk, 3)
        trace = self.result.trace
        self.written = []           # copies of sync records
        if flowstate is not None:
            await self.write_back()
        self.check_messages()
        pcs, writes = [s.pc for s in trace if s.trap is None], [s.write for s in trace if s.write]
        assert self.retired == pcs, first_difference([self.retired], [pcs])
        assert self.writes == writes, first_difference(self.writes, writes)
        spent = self.counters["core0_busy_cycles"] - before
        assert spent == busy_clocks(trace), (spent, busy_clocks(trace))
        return trace


@cocotb.test()
async def runs_recorded_transfers_like_the_simulator(dut):
    """The TCP program, from handshake to TIME-WAIT, with a takeover in one of the transfers."""
    env = Lockstep(dut, default_image().words)
    recordings = [record(up=4000, down=2000), record(up=3000, down=3000, kill_at=12, close="server")]
    config = recordings[0][0]
    assert all(other == config for other, _ in recordings)
    env.config = [value & 0xFFFFFFFF for value in config]
    await env.start()
    executed = set()
    for _, events in recordings:
        for event in events:
            executed |= {step.pc for step in await env.run(event.words, event.flowstate, event.csr)}
    dut._log.info(f"{sum(len(events) for _, events in recordings)} events, {len(executed)} instructions of the program")
    assert len(executed) > 500
    await env.finish()


#: what an instruction adds to an event: text, clocks. The table of hdl/spps/cluster/README.md, written out again.
COSTS = [(text, 1) for text in (
    "add r1, r2, r3", "sub r1, r2, r3", "and r1, r2, r3", "or r1, r2, r3", "xor r1, r2, r3", "shl r1, r2, r3",
    "shr r1, r2, r3", "minu r1, r2, r3", "smin r1, r2, r3", "smax r1, r2, r3", "addi r1, r2, 1", "andi r1, r2, 1",
    "ori r1, r2, 1", "xori r1, r2, 1", "shli r1, r2, 1", "shri r1, r2, 1", "li r1, 1", "lih r1, r2, 1",
    "ext r1, r2, 3, 4", "ins r1, r2, r3, 3, 4", "ld r1, EV.0", "st SC.0, r5", "setb X, r5", "getb r1, SC", "swap",
    "csr r1, now", "jmp next\nnext: nop", "call next\nnext: nop",
    "beq r5, r6, 0", "bne r5, r5, 0", "bltu r5, r5, 0", "bgeu r5, r6, 0", "bslt r5, r5, 0", "bsge r5, r6, 0",
    "beqi r5, 2, 0", "bnei r5, 1, 0", "bbs r5, 1, 0", "bbc r5, 0, 0", "send SC.0, 1",
)] + [(f"{text}, next\nnext: nop", 2) for text in (
    "beq r5, r5", "bne r5, r6", "bltu r5, r6", "bgeu r5, r5", "bslt r5, r6", "bsge r5, r5", "beqi r5, 1", "bnei r5, 2",
    "bbs r5, 0", "bbc r5, 1",
)] + [
    ("oadd r1, r2, r3", 2), ("jtab r0, next\nnext: nop", 2), ("ld r1, EV.0\nadd r2, r1, r3", 3),
    ("ld r1, EV.0\nadd r2, r3, r1", 3), ("ld r1, EV.0\nbeq r1, r1, next\nnext: nop", 4),
    ("ld r1, EV.0\nnop\nadd r2, r1, r3", 3), ("ld r1, EV.0\nld r1, EV.1", 2),
    ("call sub\njmp over\nsub: ret\nover: nop", 3), ("setb X, r7\nld r1, X.0", 2), ("swap\nst L.0, r5", 2),
    ("csr r1, now\nadd r2, r1, r1", 3), ("csr r1, now\nnop\nadd r2, r1, r1", 3), ("getb r1, SC\nadd r2, r1, r1", 3),
    ("send SC.0, 2", 2), ("send SC.0, 32", 32), ("send SC.0, 3\nsend SC.0, 2", 5), ("send SC.0, 2\nld r1, SC.0", 3),
    ("send SC.0, 2, 1\nsend SC.4, 1", 3),
]


@cocotb.test()
async def takes_the_clocks_that_are_promised(dut):
    """Not more, not less, and what BETWEEN says from one event to the next in the queue."""
    env = Lockstep(dut)
    await env.start()
    wrong = []
    # the scratch words still hold what the test before left
    clear = "\n".join(f"st SC.{word}, r0" for word in range(SCRATCH_WORDS))
    for text, cost in [(clear, SCRATCH_WORDS), *COSTS]:
        after = text.count("nop") if text.endswith("nop") else 0     # the landing place is an instruction of its own
        env.program(assemble(f"li r2, 5\nli r3, 6\nli r5, 1\nli r6, 2\nli r7, {env.model.cores[0].map.scratch}\n"
                             f"{text}\nnop\neoe r0, r0").words)
        await env.until(env.i_imem.empty)
        await ClockCycles(dut.clk, 5)
        before = env.counters["core0_busy_cycles"]
        await env.run(env.event_words(0, noflow=1))
        spent = env.counters["core0_busy_cycles"] - before - (5 + 2 + LEAD) - after
        if spent != cost:
            wrong.append((text, spent, cost))
    assert not wrong, wrong

    env.program(assemble("ld r1, EV.0\nloop: addi r1, r1, -1\nbnei r1, 0, loop\neoe r0, r0").words)
    await env.until(env.i_imem.empty)
    await ClockCycles(dut.clk, 5)
    env.busy = []
    for rounds in (100, 1, 1, 1):       # the others have arrived when the first ends
        env.deliver(0, 0, [rounds, 1 << 18] + [0] * 14, load=0)
    done = env.dones + 4
    await env.until(lambda: env.dones == done)
    runs = "".join(map(str, env.busy)).strip("0")
    assert [len(part) for part in runs.split("1") if part] == [BETWEEN - LEAD] * 3, runs
    await env.finish()
