"""A core alone against the instruction-set simulator: Hypothesis draws legal programs, and shrinks one that differs."""
import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from spps.params import TINY
from spps.ucode.codec import encode, operand_range, operands_of
from spps.ucode.isa import BASES, CSRS, OPS
from spps_boards.core_alone import CoreAlone
from spps_sim.model.cluster import ClusterModel
from spps_sim.testbench.runner import default_seed

PARAMS = TINY.replace(cores=1, clusters=1, imem_words=256)
RUNAWAY, CONN, WORKSPACE = 300, 5, 1
CSR = {"now": 0x12345678, "epoch": 3}
NUMBERS = {CSRS[name]: value for name, value in CSR.items()}
SOURCE = ~(0xFF << 12)      # the cluster says who speaks, not the core
ENDS = ("trap", "eoe", "ret", "call", "send", "setb")      # may end a program early
OTHERS = [op.name for op in OPS if op.name != "jtab" and op.name not in ENDS]
SEEDS = st.integers(0, 2**64 - 1)


def random_step(seed):
    """An instruction and its operands. Hypothesis draws only the seed: its own integers are too often zero."""
    rng = random.Random(seed)
    rare = rng.random() < 0.03
    op = rng.choice(ENDS if rare else OTHERS)
    limits = {"base": (0, len(BASES) - (not rare)), "csr": (0, 12), "target": (1, 5), "offset": (0, 15),
              "more": (0, int(rare))}
    values = {o.name: rng.randint(*limits.get(o.name, operand_range(o))) for o in operands_of(op)}
    if op == "send":
        values["offset"] &= ~1
    return op, values


def program(registers, steps):
    """Set registers and X, do the steps, send all registers and bases as messages. A target is an offset ahead."""
    words = []
    for register, value in enumerate(registers, 1):
        words += [encode("li", rd=register, imm=value & 0x1FFFF),
                  encode("lih", rd=register, ra=register, imm=value >> 16)]
    words.append(encode("setb", base=BASES.index("X"), ra=0))
    for op, values in map(random_step, steps):
        if "target" in values:
            values["target"] += len(words)
        words.append(encode(op, **values))
    scratch = BASES.index("SC")
    # every target is an instruction
    words += [encode("addi", rd=0, ra=0, imm=0)] * 5 + [encode("setb", base=scratch, ra=0)]
    words += [encode("st", base=scratch, offset=r, rb=r) for r in range(16)]
    for index in range(len(BASES)):
        words += [encode("getb", rd=1, base=index), encode("st", base=scratch, offset=16 + index, rb=1)]
    return words + [encode("send", base=scratch, offset=0, beats=11, more=0), encode("eoe", ra=2, rb=3)]


class Bench:
    """The core in Amaranth's simulator, reset for every program."""

    def __init__(self):
        self.dut = CoreAlone(PARAMS)
        m = Module()
        m.submodules.dut = self.dut
        self.simulator = Simulator(m)
        self.simulator.add_clock(1e-8)
        self.simulator.add_testbench(self.drive)

    def run(self, words, event, state, ready):
        """(messages, (trap code, pc) or None)"""
        self.case, self.result = (words, event, state, ready), None
        self.simulator.reset()
        self.simulator.run()
        return self.result

    async def drive(self, ctx):
        dut, (words, event, state, ready) = self.dut, self.case
        for address in range(PARAMS.imem_words):
            ctx.set(dut.i_imem.valid, 1)
            ctx.set(dut.i_imem.payload,
                    {"cluster": 0, "address": address, "data": words[address] if address < len(words) else 0})
            await ctx.tick()
        ctx.set(dut.i_imem.valid, 0)
        events = PARAMS.workspaces * 128
        for first, values in ((WORKSPACE * 128, state), (events, event)):
            for beat in range(len(values) // 2):
                ctx.set(dut.beats.address, first // 2 + beat)
                ctx.set(dut.beats.write_data, values[2 * beat] | values[2 * beat + 1] << 32)
                ctx.set(dut.beats.write, 1)
                await ctx.tick()
        ctx.set(dut.beats.write, 0)
        ctx.set(dut.runaway, RUNAWAY)
        ctx.set(dut.events.event, {"conn": CONN, "leg": event[1] >> 16 & 1, "workspace": WORKSPACE})
        await ctx.tick().repeat(2)
        messages, message, started = [], [], False
        for clock in range(4000):
            ctx.set(dut.events.start, not started)
            ctx.set(dut.csr.value, {**NUMBERS, CSRS["event_conn"]: CONN}.get(ctx.get(dut.csr.number), 0))
            ctx.set(dut.o.ready, ready >> clock % 64 & 1)
            started |= bool(ctx.get(dut.events.take))
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                message.append(ctx.get(dut.o.p.data))
                if ctx.get(dut.o.p.last):
                    messages.append(message)
                    message = []
                    if len(messages[-1]) == 2 and messages[-1][0] & 0xFF == 2 and not ctx.get(dut.busy):
                        break
            await ctx.tick()
        else:
            raise AssertionError("the event does not end")
        trap = messages[-1][1] >> 22 & 1
        self.result = messages, (ctx.get(dut.trap_code), ctx.get(dut.trap_pc)) if trap else None


@pytest.fixture(scope="module")
def bench():
    return Bench()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")     # every reset makes the testbench anew
@settings(max_examples=50, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large])
@hypothesis_seed(default_seed())
@given(SEEDS, st.lists(SEEDS, max_size=80), st.just(2**64 - 1) | SEEDS)
@example(0, [8388609, 10199], 2**64 - 1)        # sub right behind oadd
def test_random_legal_programs_run_as_in_the_simulator(bench, seed, steps, ready):
    rng = random.Random(seed)
    words = program(
        [rng.choice((0, 1, 31, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32))) for _ in range(15)], steps)
    event, state = [rng.getrandbits(32) for _ in range(16)], [rng.getrandbits(32) for _ in range(128)]
    event[1], event[8] = CONN | rng.getrandbits(1) << 16, 0         # without payload: nothing to give back
    model = ClusterModel(PARAMS, words, flowstates={CONN: list(state)}, csr=CSR, runaway=RUNAWAY)
    model.load(0, WORKSPACE, CONN)
    want = model.event(0, WORKSPACE, event)
    messages, trap = bench.run(words, event, state, ready | 1)
    for message in messages:
        message[0] &= SOURCE
    assert messages == want
    assert trap == model.traps.get(0)
