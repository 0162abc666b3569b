"""Registers by name, as `spps ctl get`, `set` and `stats` see them."""

import pytest

from spps.tools.errors import ToolError
from spps_sim.live.registers import HIDDEN, LiveRegisters
from tests.live.env_live import Env

KEYS = {"secret_0", "secret_1", "cfg_secret", "cfg_secret_high"}


def test_a_register_is_written_in_both_units_and_read_back():
    env = Env()
    registers = LiveRegisters(env)
    assert registers.set("lease", 1234) == ("lease", [0, 1])
    assert registers.set("mode", 1) == ("cfg_mode", [0, 1])
    assert env.pair.written == [(0, "lease", 1234), (1, "lease", 1234), (0, "cfg_mode", 1), (1, "cfg_mode", 1)]
    assert registers.get("lease") == ("lease", {0: 1234, 1: 1234})
    env.kill("0")
    assert registers.set("policy", 1) == ("policy", [1])
    env.revive(0)
    assert registers.get("policy") == ("policy", {0: 1, 1: 1})


@pytest.mark.parametrize(
    "name, value, message",
    (
        ("leese", 1, "no register 'leese'; similar: lease"),
        ("wat", 1, "no register 'wat'; similar: .*watchdog"),
        ("zzzz", 1, "`spps ctl stats` lists all"),
        ("active", 1, "active is read-only"),
        ("ident", 1, "ident is read-only"),
        ("flowstate_data", 1, "flowstate_data is read-only"),
        ("imem_low", 1, "belongs to a window"),
        ("lookup_refused", 1, "only 0 can be written"),
        ("policy", 4, r"policy=4: must be from 0 to 3 \(2 bits\)"),
        ("watchdog", 1 << 24, "must be from 0 to 16777215"),
        ("lease", -1, "must be from 0"),
        ("keepalive", 1 << 30, "cfg_keepalive=1073741824: must be from 0 to 1073741823$"),
        ("cfg_idle_limit", 0xFFFFFFFF, "must be from 0 to 1073741823$"),
        ("keepalive_interval", 0, "must be from 1 to 1073741823$"),
        ("keepalive_probes", 0, r"must be from 1 to 4294967295$"),
        ("msl", 1 << 30, "must be from 0 to 1073741823$"),
        ("rto_min", 0, "must be from 1 to"),
        ("rcv_wscale", 15, "must be from 0 to 14$"),
        ("initial_window", 64, "must be from 1 to 63$"),
        ("challenge_limit", 16, "must be from 0 to 15$"),
        ("window", 8193, "must be from 0 to 8192$"),
        ("listen_last", 65536, "must be from 0 to 65535$"),
        ("prefix_0", 33, "must be from 0 to 32$"),
        ("vlan_2", 4095, "must be from 0 to 4094$"),
        ("hb_interval", 1200, r"hb_interval=1200: must be less than lease \(1200 in unit 0\)"),
        ("lease", 1600, "must be less than takeover_after"),
        ("takeover_after", 1000, "must be more than lease"),
    ),
)
def test_what_cannot_be_written_is_refused_before_anything_is(name, value, message):
    env = Env()
    for values in env.pair.values:
        values |= {"hb_interval": 400, "lease": 1200, "takeover_after": 1600}
    with pytest.raises(ToolError, match=message):
        LiveRegisters(env).set(name, value)
    assert env.pair.written == []


def test_counters_are_cleared_by_zero():
    env = Env()
    assert LiveRegisters(env).set("lookup_refused", 0) == ("lookup_refused", [0, 1])


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_key_can_be_set_and_is_never_shown(name):
    env = Env()
    LiveRegisters(env).set(name, 99)
    assert env.pair.written == [(0, name, 99), (1, name, 99)]
    with pytest.raises(ToolError, match="is a key: it can be set, not read"):
        LiveRegisters(env).get(name)


def test_stats_hide_every_key_and_let_traffic_go_on():
    env = Env()
    for unit in (0, 1):
        env.pair.values[unit] |= dict.fromkeys(KEYS, 0xC0FFEE)
    stats = LiveRegisters(env).stats()
    assert list(stats) == [0, 1]
    assert {name for name, value in stats[0].items() if value == HIDDEN} == KEYS and 0xC0FFEE not in stats[0].values()
    assert stats[0]["active"] == 1 and "flowstate_data" not in stats[0] and env.turns > 10
    env.kill("1")
    assert list(LiveRegisters(env).stats()) == [0]


def test_nothing_runs():
    env = Env()
    env.kill("0")
    env.freeze("1")
    for ask in (
        LiveRegisters(env).stats,
        lambda: LiveRegisters(env).get("lease"),
        lambda: LiveRegisters(env).set("lease", 1),
    ):
        with pytest.raises(ToolError, match="no unit runs: unit 0 is killed, unit 1 is frozen"):
            ask()
