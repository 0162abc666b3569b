"""The announcer beside its model; see test_announcer.py."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tests.neighbour.env_announcer import COUNT, INTERVAL, VIPS, Env

ALL = {(network, operation): COUNT for network in (0, 1) for operation in (1, 2)}


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.6])
async def a_takeover_is_announced_at_once_and_again_after_each_interval(dut, pause):
    env = await Env.start(dut, pause=pause)
    await env.set(vips=VIPS)
    await env.set(active=True, enable=True)
    assert env.judged.total() == 4
    for _ in range(COUNT * INTERVAL + 3):
        await env.set(ticks=1)
    assert env.judged == ALL


@cocotb.test()
async def the_first_word_leaves_two_clocks_after_the_role(dut):
    env = await Env.start(dut)
    await env.set(vips=VIPS)
    await RisingEdge(dut.clk)
    await env.set(active=True, enable=True, compare=False)
    clocks = 0
    while not int(dut.o__valid.value) and clocks < 10:
        await RisingEdge(dut.clk)
        clocks += 1
    assert clocks == 3, "the inputs change after an edge, which is seen at the next one"
    await env.compare()


@cocotb.test()
async def a_unit_that_is_active_after_reset_announces_itself_when_it_may_emit(dut):
    """Its lease comes later, and the addresses that the host writes later still."""
    env = await Env.start(dut, active=True)
    await env.set()
    await env.set(vips=(VIPS[0], 0))
    assert not env.judged
    await env.set(enable=True)
    assert env.judged == {(0, 1): 1, (0, 2): 1}
    await env.set(ticks=3)
    await env.set(vips=VIPS)
    assert env.judged == {(0, 1): 1, (0, 2): 1, (1, 1): 1, (1, 2): 1}
    for _ in range(COUNT * INTERVAL + 3):
        await env.set(ticks=1)
    assert env.judged == ALL


@cocotb.test()
async def a_network_without_an_address_of_ours_is_skipped(dut):
    env = await Env.start(dut)
    await env.set(vips=(0, VIPS[1]), active=True, enable=True)
    for _ in range(COUNT * INTERVAL):
        await env.set(ticks=1)
    assert env.judged == {(1, 1): COUNT, (1, 2): COUNT}


@cocotb.test()
async def a_standby_and_a_unit_that_may_not_emit_are_silent(dut):
    env = await Env.start(dut)
    await env.set(vips=VIPS, enable=True)
    await env.set(ticks=2 * INTERVAL)
    await env.set(enable=False, active=True)
    await env.set(ticks=2 * INTERVAL)
    assert not env.judged
    await env.set(enable=True)
    assert env.judged.total() == 4
    await env.set(active=False)
    await env.set(ticks=5 * INTERVAL)
    assert env.judged.total() == 4, "what was left is forgotten"
    await env.set(active=True)
    assert env.judged.total() == 8, "another takeover is announced anew"


@cocotb.test()
async def no_announcements_with_a_count_of_zero(dut):
    env = await Env.start(dut, count=0)
    await env.set(vips=VIPS, active=True, enable=True)
    await env.set(ticks=INTERVAL)
    assert not env.judged


@cocotb.test()
async def the_count_may_change_at_any_time(dut):
    """A host writes it after the reset, when the unit may be active already; one that is raised later counts too."""
    env = await Env.start(dut, active=True)
    await env.set(vips=VIPS, ticks=5)
    await env.set_count(0)
    await env.set(enable=True)
    assert not env.judged
    await env.set_count(2)
    await env.set(ticks=INTERVAL)
    assert env.judged.total() == 8
    await env.set(ticks=5 * INTERVAL)
    await env.set_count(3)
    assert env.judged.total() == 12
    await env.set_count(1)
    await env.set(ticks=5 * INTERVAL)
    assert env.judged.total() == 12


@cocotb.test()
async def a_frame_that_was_offered_is_never_changed_or_withdrawn(dut):
    """Egress takes no word while the role, the addresses and the time change; the frame in hand has one of them all."""
    env = await Env.start(dut, pause=1.1)
    await env.set(vips=VIPS, active=True, enable=True, compare=False)
    await ClockCycles(dut.clk, 20)
    assert int(dut.o__valid.value)
    held = int(dut.o__payload.value)
    await env.set(active=False, enable=False, compare=False)
    await ClockCycles(dut.clk, 20)
    assert int(dut.o__valid.value) and int(dut.o__payload.value) == held
    env.sink.pause = 0.0
    await ClockCycles(dut.clk, 200)
    assert [port for port, _ in env.frames] == [0, 0], "request and reply of the network in hand, whole"


@cocotb.test()
@cocotb.parametrize(now=[0, (1 << 32) - 50, (1 << 16) - 50])
async def agrees_with_the_model_whatever_comes(dut, now):
    env = await Env.start(dut, now=now, count=2, pause=0.3)
    rng = env.rng
    for _ in range(150):
        change = rng.randrange(6)
        if change == 0:
            await env.set(active=not env.model.active)
        elif change == 1:
            await env.set(enable=not env.model.enable)
        elif change == 2:
            await env.set(vips=[rng.choice((0, vip, vip)) for vip in VIPS])
        else:
            await env.set(ticks=rng.choice((1, 1, 2, INTERVAL, INTERVAL - 1, 3 * INTERVAL)))
    assert len(env.judged) == 4, "both forms on both networks"
