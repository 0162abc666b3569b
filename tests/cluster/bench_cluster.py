"""cocotb bench: a cluster against `ClusterModel`."""
import os

import cocotb
from cocotb.triggers import ClockCycles

from spps.ucode.asm import assemble
from spps_sim.model.cluster import event_message
from tests.cluster.env_cluster import LOAD, PARAMS, WRITE_BACK, Env
from tests.cluster.random_program import random_program

DONE, RELEASE, SYNC, SOCKET = 2, 4, 6, 2      # kinds and unit of messages
HALTED = 0xF8


@cocotb.test()
async def runs_random_programs_like_the_simulator(dut):
    env = Env(dut)
    await env.start()
    events = 0
    for _ in range(int(os.environ.get("SPPS_P_PROGRAMS", "10"))):
        env.program(random_program(env.rng, PARAMS))
        await env.until(env.i_imem.empty)
        await ClockCycles(dut.clk, 5)
        for _ in range(4):
            events += env.any_event()
        await env.until(lambda events=events: env.dones == events)
        for core in range(PARAMS.cores):        # no flow; random programs write to the workspace all the same
            env.deliver(core, env.rng.randrange(PARAMS.workspaces), env.event_words(0, noflow=1), load=0)
            events += 1
        await env.until(lambda events=events: env.dones == events)
        await env.write_back(0.5)
    await env.finish()


@cocotb.test()
async def counts_and_discards_messages_that_are_no_events(dut):
    env = Env(dut)
    await env.start()
    env.program(assemble("eoe r0, r0").words)
    await env.until(env.i_imem.empty)
    good = event_message(0, 0, env.event_words(3, noflow=1), load=0)
    broken = [
        [3] + good[1:],                                         # not an EVENT
        [good[0] | 15 << 12] + good[1:],                        # no such core
        [good[0] | 9 << 32] + good[1:],                         # no such workspace
        good[:1], good[:4], good + good[1:3],                   # too short, too long
    ]
    for beats in broken:
        env.message(beats)
        env.deliver(0, 0, env.event_words(3, noflow=1), load=0)
    await env.until(lambda: env.dones == len(broken))
    await env.finish()
    assert env.counters["bad_message"] == len(broken)


@cocotb.test()
async def runs_on_after_a_runaway(dut):
    env = Env(dut, runaway=100)
    await env.start()
    env.program(assemble("""
        ld   r1, EV.0
        bbc  r1, 0, quick
forever: jmp forever
quick:  li   r2, 7
        eoe  r2, r0
    """).words)
    await env.until(env.i_imem.empty)
    for core in range(PARAMS.cores):
        for kind in (1, 2, 1, 2):
            words = env.event_words(0, noflow=1)
            words[0] = kind
            env.deliver(core, 0, words, load=0)
    await env.until(lambda: env.dones == 4 * PARAMS.cores)
    await env.finish()
    assert env.counters["traps"] == 2 * PARAMS.cores


@cocotb.test()
async def refuses_dma_for_a_core_that_does_not_exist(dut):
    env = Env(dut)
    await env.start()
    env.dma(LOAD, PARAMS.cores, 0, 1)
    env.dma(WRITE_BACK, 0, PARAMS.workspaces, 1)
    await env.until(lambda: len(env.o_done.received) == 2)
    await env.finish()
    assert env.counters["bad_command"] == 2


@cocotb.test()
async def answers_for_a_fenced_core(dut):
    """A core without instructions in the middle of a message: cut, payload back, DONE; so for all that waits."""
    env = Env(dut, runaway=0)
    await env.start()
    env.program(assemble("""
        ld   r1, EV.0
        bbc  r1, 0, quick
        send SC.0, 2, 1
forever: jmp forever
quick:  eoe  r0, r0
    """).words)
    await env.until(env.i_imem.empty)
    last = PARAMS.cores - 1
    waiting = PARAMS.event_slots - 1

    def event(kind, conn, ref, noflow=0):
        words = env.event_words(conn, noflow=noflow)
        words[0], words[8] = kind, ref << 16 | bool(ref)
        return words

    env.dma(LOAD, last, 1, 3)
    env.message(event_message(last, 1, event(1, 3, 77), load=1))
    await env.until(lambda: int(dut.busy.value) >> last & 1)
    await ClockCycles(dut.clk, 200)
    dut.stuck.value = 1 << last
    for number in range(waiting):
        env.message(event_message(last, 1, event(0, 3, 100 + number if number % 2 else 0, noflow=number == 2), load=0))
    await env.until(env.i_msg.empty)
    await ClockCycles(dut.clk, 200)
    assert env.got[last] == [] and int(dut.busy.value) >> last & 1, "a stuck core says nothing"
    dut.halt.value = 1 << last
    await env.until(lambda: env.dones == 1 + waiting)
    cut, *answers = env.got[last]
    assert len(cut) == 3 and cut[2] == 0
    released = [message[0] >> 32
                for message in answers if message[0] & 0xFF == RELEASE and message[0] >> 8 & 15 == SOCKET]
    assert released == [77] + [100 + number for number in range(waiting) if number % 2]
    done = [message[1] for message in answers if message[0] & 0xFF == DONE]
    assert [d >> 22 & 1 for d in done] == [1] * (1 + waiting), "every event ends as by a trap"
    assert int(dut.trap_code.value) >> 8 * last & 0xFF == HALTED
    await ClockCycles(dut.clk, 2)
    assert (env.counters["traps"], env.counters["voided"], env.counters["released"]) == (1, waiting, len(released))
    dut.halt.value = dut.stuck.value = 0        # a LOAD makes the workspace good again
    env.got[last], before = [], env.dones
    env.message(event_message(last, 1, event(0, 3, 5), load=0))
    env.dma(LOAD, last, 1, 3)
    env.message(event_message(last, 1, event(0, 3, 6), load=1))
    await env.until(lambda: env.dones == before + 2)
    assert [message[1] >> 22 & 1 for message in env.got[last] if message[0] & 0xFF == DONE][-1] == 0


@cocotb.test()
async def keeps_a_copy_of_whole_records(dut):
    """Whole SYNC messages of the event's connection, no retirements, go into flowstate memory, before the DONE."""
    env = Env(dut)
    await env.start()
    env.program(assemble("""
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
    await env.until(env.i_imem.empty)
    conn = 2
    env.model.load(0, 0, conn)
    env.dma(LOAD, 0, 0, conn)
    state = env.flowstates[conn]

    def beats(first, count, to):
        return [(conn, to + i, state[2 * (first + i)] | state[2 * (first + i) + 1] << 32) for i in range(count)]

    # the full record of this program is words 0..31 and 64..79: lines 0..3, then 8, 9
    whole = [beats(0, 4, 0), beats(0, 16, 0) + beats(32, 8, 32)]
    for number, (flag, argument, written) in enumerate((
            (0, conn, whole[0]), (1, conn | 1 << 16, whole[1]), (0, conn | 1 << 16, []), (1, conn, []),
            (1, conn | 2 << 16, []), (0, conn + 1, []), (0, conn, whole[0]), (2, conn, []))):
        env.written = []
        words = env.event_words(conn)
        words[0], words[2] = SYNC | flag << 8, argument
        env.message(event_message(0, 0, words, load=number == 0))
        await env.until(lambda number=number: env.dones == number + 1)
        assert env.written == written, f"record {number}"
    assert env.counters["recorded"] == 3
