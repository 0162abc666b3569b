"""Each fault of the link alone, then all of them: every frame is accounted for."""
import cocotb
from cocotb.triggers import ClockCycles

from tests.failover.env_faulty_link import Env

FRAMES = 120


async def _burst(dut, frames=FRAMES, clocks=1000, **options):
    env = await Env.start(dut, **options)
    for _ in range(frames):
        env.send()
    await env.drain(clocks)
    return env


@cocotb.test()
async def without_faults_it_is_a_wire(dut):
    env = await _burst(dut, idle=0.3, pause=0.4)
    assert env.whole() == FRAMES and env.numbers() == list(range(FRAMES))
    assert not any(env.counts.values())


@cocotb.test()
async def lost_frames_are_counted_and_the_others_whole(dut):
    env = await _burst(dut, loss=0.3, pause=0.3)
    assert 15 < env.counts["link_lost"] < 60
    assert env.whole() == FRAMES - env.counts["link_lost"] and env.numbers() == sorted(env.numbers())


@cocotb.test()
async def a_cut_link_loses_everything_until_it_is_mended(dut):
    env = await _burst(dut, 20, cut=True)
    assert not env.got and env.counts["link_lost"] == 20
    env.set()
    for _ in range(20):
        env.send()
    await env.drain()
    assert env.whole() == 20 and env.numbers() == list(range(20, 40))


@cocotb.test()
async def copies_follow_soon(dut):
    env = await _burst(dut, duplicate=0.4)
    assert env.whole() == FRAMES + env.counts["link_duplicate"] and env.counts["link_duplicate"] > 20
    assert {env.numbers().count(n) for n in range(FRAMES)} == {1, 2}


@cocotb.test()
async def replayed_frames_come_thousands_of_clocks_later(dut):
    env = await _burst(dut, 12, 20_000, replay=0.3)
    assert env.whole() == 12 + env.counts["link_duplicate"] and env.counts["link_duplicate"]
    when = {}
    for words, _, _, clock in env.got:
        when.setdefault(tuple(words), []).append(clock)
    assert all(4096 <= second - first < 8500 for first, second in (t for t in when.values() if len(t) == 2))


@cocotb.test()
async def held_back_frames_are_overtaken(dut):
    env = await _burst(dut, reorder=0.3)
    assert env.whole() == FRAMES and sorted(env.numbers()) == list(range(FRAMES))
    assert env.numbers() != sorted(env.numbers()) and env.counts["link_reordered"] > 15


@cocotb.test()
async def every_frame_waits_for_the_delay(dut):
    env = await Env.start(dut, delay=500)
    env.send(4)
    await env.drain(480)
    assert not env.got
    await ClockCycles(dut.clk, 60)
    assert env.whole() == 1


async def _damaged(dut, silent):
    env = await _burst(dut, corrupt=0.5, silent=silent)
    assert len(env.got) == FRAMES and env.counts["link_damaged"] > 30
    wrong = 0
    for sent, (words, err, empty, _) in zip(env.sent, env.got):
        bits = sum((a ^ b).bit_count() for a, b in zip(sent, words))
        assert len(sent) == len(words) and bits <= 1 and empty == 1 and err == (bits and not silent)
        wrong += bits
    assert wrong == env.counts["link_damaged"]


@cocotb.test()
async def a_wrong_bit_is_marked(dut):
    await _damaged(dut, False)


@cocotb.test()
async def a_wrong_bit_is_not_marked_when_silent(dut):
    await _damaged(dut, True)


@cocotb.test()
async def frames_cut_short_are_marked(dut):
    env = await _burst(dut, truncate=0.5)
    short = 0
    for sent, (words, err, _, _) in zip(env.sent, env.got):
        assert words == sent[:len(words)] and err == (len(words) < len(sent))
        short += err
    assert len(env.got) == FRAMES and short == env.counts["link_damaged"] > 30


@cocotb.test()
async def an_error_of_the_sender_stays(dut):
    env = await Env.start(dut, delay=5)
    env.send(3, err=1)
    await env.drain(100)
    assert [err for _, err, *_ in env.got] == [1]


@cocotb.test()
async def a_frame_that_is_too_long_is_marked(dut):
    env = await Env.start(dut, delay=5)
    env.send(256 * 8 // len(dut.i__payload.value) * 3)
    env.send(2)
    await env.drain(1000)
    assert [err for _, err, *_ in env.got] == [1, 0] and env.got[1][0] == env.sent[1]


@cocotb.test()
async def all_faults_at_once_and_then_none(dut):
    faults = {name: 0.1 for name in ("loss", "duplicate", "reorder", "corrupt", "truncate", "replay")}
    env = await _burst(dut, 2 * FRAMES, 20_000, idle=0.2, pause=0.2, delay=30, **faults)
    counts = env.counts
    assert len(env.got) == 2 * FRAMES - counts["link_lost"] + counts["link_duplicate"] and all(counts.values())
    env.set()
    await ClockCycles(dut.clk, 100)
    before, env.got = dict(counts), []
    first = len(env.sent)
    for _ in range(20):
        env.send()
    await env.drain(100)
    assert env.whole() == 20 and env.numbers() == list(range(first, first + 20)) and before == counts
