"""The replay ring across the wrap of its numbers, before a standby that misses records and confirmations."""
import cocotb
from cocotb.triggers import ClockCycles

from tests.failover.env_record_store import MODULUS, RETRANSMIT, Env


@cocotb.test()
@cocotb.parametrize(last=(-2, -1, 0, 1, 20), loss=(0, 0.3), pause=(0, 0.4))
async def numbers_wrap(dut, last, loss, pause):
    """The last record is number `last` modulo 2**32."""
    count = 24
    env = await Env.start(dut, (last - count) % MODULUS, loss=loss, pause=pause)
    sent = [env.record() for _ in range(count)]
    await env.until_confirmed(last % MODULUS)
    await ClockCycles(dut.clk, 3 * RETRANSMIT)
    numbers = [(last - count + 1 + k) % MODULUS for k in range(count)]
    assert env.standby.taken == [(number, *record) for number, record in zip(numbers, sent)]
    assert env.counts["records"] == count and int(dut.issued.value) == last % MODULUS and int(dut.sync_ready.value)
    assert (env.counts["retransmit"] > 0) == (loss > 0) and not env.standby.beats
    assert not (env.counts["bad_record"] or env.counts["refused_record"] or env.counts["bad_confirm"])


@cocotb.test()
async def confirmations_of_what_was_never_issued_change_nothing(dut):
    env = await Env.start(dut, MODULUS - 3, loss=0, pause=0)
    env.standby.loss = 1
    for _ in range(3):
        env.record()
    await ClockCycles(dut.clk, 200)
    for ahead in (1, 2, 1000, MODULUS // 2 - 10):
        env.confirm(ahead)
    await ClockCycles(dut.clk, 100)
    assert int(dut.confirmed.value) == MODULUS - 3 and env.counts["bad_confirm"] == 4
    env.confirm(MODULUS - 4)                     # an earlier one: no effect, not counted
    await ClockCycles(dut.clk, 100)
    assert int(dut.confirmed.value) == MODULUS - 3 and env.counts["bad_confirm"] == 4
    env.standby.loss = 0
    await env.until_confirmed(0)
