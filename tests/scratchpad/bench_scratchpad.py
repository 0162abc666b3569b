"""cocotb bench of the scratchpad against its model."""
from collections import Counter, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tests.scratchpad.env_scratchpad import PAGE_BYTES, PAGES, SIZE, Env


async def lives(dut, idle, pause, packets=250):
    """Store, read, free at once; at the end every page is free again."""
    env = await Env.start(dut, idle, pause)
    rng, expected = env.rng, []
    doomed = deque()
    asked = deque()
    env.on_answer = lambda *answer: asked.append(answer)
    for _ in range(packets):
        env.send(rng.randbytes(env.size(PAGES * PAGE_BYTES // 2)), rng.random() < 0.1)
    edge = RisingEdge(dut.clk)
    quiet = 0
    while quiet < 300:
        await edge
        quiet += 1
        if asked and rng.random() < 0.3 and env.read.empty():
            quiet = 0
            ref, octets = asked.popleft()
            skip = rng.randrange(len(octets))
            rest = len(octets) - skip
            length = rng.randint(0, rest + 3) if rng.random() < 0.2 else rng.randint(1, rest)
            expected.append(env.model.read(ref, skip, length))
            env.read.send({"ref": ref, "skip": skip, "length": length})
            doomed.append((len(expected), ref))
        if doomed and len(env.reads) >= doomed[0][0] and rng.random() < 0.05:
            quiet = 0
            _, ref = doomed.popleft()
            # The model frees before the RTL does, so it accepts a reference that the RTL gives out too early.
            # Two chains on one page show in what is read, and a lost page shows at the end.
            env.model.free(ref)
            env.free.send(ref)
            if rng.random() < 0.05:
                env.model.free(PAGES + 5)
                env.free.send(PAGES + 5)
        if not env.i.empty():
            quiet = 0
    await env.settle()
    assert len(env.reads) == len(expected)
    for (octets, err), wanted in zip(env.reads, expected):
        assert err if wanted is None else not err and octets == wanted
    assert not env.model.chains and int(dut.free_pages.value) == PAGES, "pages leaked"
    assert sum(env.count[name] for name in ("packets", "full", "error")) == packets == len(env.answers)
    assert env.count["packets"] == sum(ok for ok, _, _ in env.answers)
    for name in ("bad_read", "bad_free", "packets"):
        assert env.count[name] == env.model.count[name], name
    assert env.count["bad_read"] and env.count["error"], "nothing was refused"
    dut._log.info("%s", dict(env.count))


@cocotb.test()
async def stores_reads_and_frees_at_full_speed(dut):
    await lives(dut, 0.0, 0.0)


@cocotb.test()
async def stores_reads_and_frees_with_gaps_and_backpressure(dut):
    await lives(dut, 0.3, 0.4)


@cocotb.test()
async def says_full_exactly_when_pages_run_out(dut):
    env = await Env.start(dut)
    rng = env.rng
    expected = Counter()
    for _ in range(400):
        octets, err = rng.randbytes(env.size(PAGES * PAGE_BYTES)), rng.random() < 0.1
        verdict = env.model.verdict(octets, err)
        expected[verdict] += 1
        free = env.model.free_pages
        env.send(octets, err)
        await env.until(lambda: not env.sent)
        assert env.answers[-1][0] == (verdict == "packets"), f"{verdict}: {len(octets)} bytes, {free} pages free"
        while env.model.chains and rng.random() < 0.4:
            ref = rng.choice(list(env.model.chains))
            env.model.free(ref)
            env.free.send(ref)
        await env.settle()
        assert int(dut.free_pages.value) == env.model.free_pages
    assert expected["full"] > 20 and expected["error"] > 5
    assert all(env.count[name] == expected[name] for name in ("packets", "full", "error"))


@cocotb.test()
async def second_free_of_a_chain_is_ignored(dut):
    env = await Env.start(dut)
    env.send(env.rng.randbytes(3 * PAGE_BYTES))
    await env.until(lambda: env.model.chains)
    ref = next(iter(env.model.chains))
    for _ in range(2):
        env.free.send(ref)
    await env.settle()
    assert int(dut.free_pages.value) == PAGES and env.count["bad_free"] == 1


@cocotb.test()
async def read_of_a_freed_chain_is_refused(dut):
    env = await Env.start(dut)
    env.send(env.rng.randbytes(PAGE_BYTES))
    await env.until(lambda: env.model.chains)
    ref = next(iter(env.model.chains))
    env.read.send({"ref": ref, "skip": 0, "length": PAGE_BYTES})
    await env.settle()
    env.free.send(ref)
    await env.settle()
    env.read.send({"ref": ref, "skip": 0, "length": PAGE_BYTES})
    await env.settle()
    assert [err for _, err in env.reads] == [False, True] and env.count["bad_read"] == 1


async def first_valid(dut, *signals):
    """The clock in which each signal is high for the first time, from now on."""
    seen = [None] * len(signals)
    for clock in range(400):
        await RisingEdge(dut.clk)
        await ReadOnly()
        for n, signal in enumerate(signals):
            if seen[n] is None and int(signal.value):
                seen[n] = clock
        if None not in seen:
            return seen
    raise AssertionError("no transfer")


@cocotb.test()
async def answers_and_reads_take_the_clocks_of_the_contract(dut):
    env = await Env.start(dut)
    await env.until(lambda: int(dut.free_pages.value) == PAGES)
    pages, words = 4, 4 * PAGE_BYTES // SIZE
    for _ in range(2):
        env.send(env.rng.randbytes(pages * PAGE_BYTES))
    began, answered = await first_valid(dut, dut.i__valid, dut.o_page__valid)
    assert answered - began == words - 1 + 2
    clocks = answered
    while len(env.answers) < 2:
        await RisingEdge(dut.clk)
        clocks += 1
    assert clocks - answered <= words + 2, "more than two clocks between packets"
    await env.settle()
    ref = next(iter(env.model.chains))
    for skipped in range(pages):
        env.read.send({"ref": ref, "skip": skipped * PAGE_BYTES, "length": PAGE_BYTES})
        asked, came = await first_valid(dut, dut.i_read__valid, dut.o_data__valid)
        assert came - asked == 5 + 2 * skipped
        await env.settle()
