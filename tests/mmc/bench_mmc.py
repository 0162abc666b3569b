"""Random register accesses and counter pulses against the model."""
import cocotb
from amaranth.lib import data
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.layouts.config import CONFIG, CONFIG_DIRECT, CONFIG_INDEX, ConfigWord
from spps_sim.model.mmc import UNKNOWN
from spps_sim.testbench.bus.stream import reset, unpack
from tests.mmc.env_mmc import Env
from tests.mmc.registers_under_test import BLOCKS


async def _random(dut, idle, pause):
    env = await Env.start(dut, idle, pause)
    rng, model = env.rng, env.model
    special = {env.names[n]
               for n in ("imem_low", "imem_address", "imem_high", "role_load", "flowstate_address", "flowstate_data")}
    addresses = [a for a in model.table if a not in special] + [0x0FC, 0x3FC, 0x5001, 0xFFFC, 0x402]
    for _, register in env.map.of("ro"):
        model.status[env.names[register.name]] = value = rng.getrandbits(register.width)
        env.pin(register).value = value
    for _ in range(150):
        if rng.random() < 0.3:      # pulses on every counter in every clock, longer than a sweep
            for _ in range(rng.randrange(1, 200)):
                for block, names in BLOCKS:
                    bits = rng.getrandbits(len(names)) | 1
                    getattr(dut, f"count_{block}").value = bits
                    for k, name in enumerate(names):
                        model.counts[env.names[f"{block}_{name}"]] += bits >> k & 1
                await RisingEdge(dut.clk)
            for block, _ in BLOCKS:
                getattr(dut, f"count_{block}").value = 0
            await ClockCycles(dut.clk, 250)
        if rng.random() < 0.5:
            await env.write(rng.choice(addresses), rng.getrandbits(32))
        else:
            await env.read(rng.choice(addresses))
    for address in addresses:
        await env.read(address)


@cocotb.test()
async def random_accesses(dut):
    await _random(dut, 0, 0)


@cocotb.test()
async def random_accesses_with_gaps(dut):
    await _random(dut, 0.5, 0.5)


@cocotb.test()
async def unknown_address_reads_the_mark_and_counts(dut):
    env = await Env.start(dut)
    assert await env.read(0xFFFC) == UNKNOWN
    assert await env.read(env.names["mmc_bad_address"]) == 1


@cocotb.test()
async def key_register_reads_zero(dut):
    env = await Env.start(dut)
    for register in (r for _, r in env.map.of("wo")):
        pin, value = env.pin(register), env.rng.getrandbits(32) | 1
        await env.write(env.names[register.name], value)
        assert int(pin.value) == value
        assert await env.read(env.names[register.name]) == 0
    assert await env.read(env.names["mmc_bad_address"]) == 0


@cocotb.test()
async def instruction_window_counts_its_address_up(dut):
    env = await Env.start(dut, 0.2, 0.6)
    await env.write(env.names["imem_address"], 0x2FFE)
    for k in range(3):
        await env.write(env.names["imem_high"], k)
        await env.write(env.names["imem_low"], 0x1000 + k)
    assert [(w["cluster"], w["address"], w["data"]) for w in env.words] == [
        (2, 0xFFE, 0x1000), (2, 0xFFF, 1 << 32 | 0x1001), (2, 0, 2 << 32 | 0x1002)]


@cocotb.test()
async def flowstate_window_reads_word_after_word(dut):
    env = await Env.start(dut, 0.2, 0.6)
    await env.write(env.names["flowstate_address"], 5 << 7 | 126)
    for offset in range(4):
        env.source.send({"address": env.names["flowstate_data"], "data": 0, "write": 0})
        env.expected.append(0xF10E5000 + (5 << 7 | 126) + offset)
        await env.drain()
    assert list(env.answers) == env.expected
    env.model.values[env.names["flowstate_address"]] = 6 << 7 | 2       # it has counted up, over the end of a flowstate
    await env.read(env.names["flowstate_address"])
    await env.write(env.names["flowstate_data"], 1)
    assert await env.read(env.names["mmc_bad_address"]) == 1


@cocotb.test()
async def config_is_shown_word_by_word(dut):
    """Every word shows within two rounds, old or new, also during accesses; a reset restores the reset values."""
    env = await Env.start(dut)
    field = data.Layout.cast(ConfigWord)
    shown, allowed = {}, {index: {word.reset} for index, word in enumerate(CONFIG)}

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            word = unpack(field, int(dut.cfg.value)) if not int(dut.rst.value) else {"valid": 0}
            if word["valid"]:
                assert word["value"] in allowed[word["index"]], word
                shown[word["index"]] = word["value"]

    cocotb.start_soon(watch())
    await ClockCycles(dut.clk, 250)
    current = {index: word.reset for index, word in enumerate(CONFIG)}
    for _ in range(60):
        index = env.rng.randrange(len(CONFIG))
        value = env.rng.getrandbits(32)
        allowed[index].add(value)
        env.source.send({"address": env.names[f"cfg_{CONFIG[index].name}"], "data": value, "write": 1})
        await ClockCycles(dut.clk, 10 + 2 * len(CONFIG) + env.rng.randrange(3))
        current[index] = value
        assert shown[index] == value
        allowed[index] = {value}
    assert shown == current
    for name in CONFIG_DIRECT:
        assert int(getattr(dut, f"cfg_{name}").value) == current[CONFIG_INDEX[name]]
    allowed.update({index: {word.reset} for index, word in enumerate(CONFIG)})
    await reset(dut)
    await ClockCycles(dut.clk, 250)
    assert shown == {index: word.reset for index, word in enumerate(CONFIG)}


@cocotb.test()
async def pulse_register_lasts_one_clock(dut):
    env = await Env.start(dut)
    seen = 0
    env.source.send({"address": env.names["role_load"], "data": 1, "write": 1})
    for _ in range(300):
        await RisingEdge(dut.clk)
        seen += int(dut.failover__role_load.value)
    assert seen == 1


@cocotb.test()
async def the_table_of_vlans_and_the_flag_filter_are_shown(dut):
    env = await Env.start(dut)
    assert int(dut.vlan.value) == int(dut.tcp_flag_filter.value) == 0
    for port, value in enumerate((100, 4094, 0xFFFFF001)):
        await env.write(env.names[f"vlan_{port}"], value)
    await env.write(env.names["tcp_flag_filter"], 1)
    assert int(dut.vlan.value) == 100 | 4094 << 12 | 1 << 24 and int(dut.tcp_flag_filter.value) == 1
    for name in ("vlan_0", "vlan_1", "vlan_2", "tcp_flag_filter"):
        await env.read(env.names[name])         # and as the model
    for address in (0x1FC, 0x2FC, 0x380):       # places of the table, under other addresses
        assert await env.read(address) == UNKNOWN
