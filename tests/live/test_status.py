"""`spps ctl status`: what a pair is doing, in words."""

import pytest

from spps_sim.live.status import read_status, status_text
from tests.live.env_live import Env


def text(env):
    return status_text(read_status(env))


def test_a_protected_pair_with_connections():
    env = Env()
    env.pair.values[0] |= {"in_use": 3, "half_open": 1}
    lines = text(env).splitlines()
    assert lines[:4] == [
        "unit 0: active, epoch 1",
        "unit 1: standby, epoch 0, takes records",
        "connections: 3 of 16 in use, 1 of them in a handshake",
        "connections are protected: unit 1 confirms every record",
    ]


@pytest.mark.parametrize(
    "registers, state",
    (
        ({"peer_present": 0, "lease_valid": 0}, "stalled: unit 1 does not answer"),
        ({"protect": 0, "unprotected": 1}, "unprotected: unit 1 confirms nothing"),
        ({"cfg_mode": 0}, "not protected: those of an endpoint"),
    ),
)
def test_connections_without_protection(registers, state):
    env = Env()
    env.pair.values[0] |= registers
    assert f"connections are {state}" in text(env)
    assert read_status(env)["protection"] == ("unshared" if "cfg_mode" in registers else state.split(":")[0])


@pytest.mark.parametrize("units, named", (((0,), "unit 0"), ((0, 1), "unit 0 and 1")))
def test_a_unit_without_a_key(units, named):
    env = Env()
    assert "authenticated" not in text(env)
    for unit in units:
        env.pair.values[unit]["sync_key"] = 0
    assert f"sync frames are not authenticated: no key in {named} (sync_key_a0 to a3)" in text(env).splitlines()


def test_sync_frames_that_a_unit_refuses():
    """As when the keys of the two units differ."""
    env = Env()
    assert "refused so far" not in text(env)
    env.pair.values[1] |= {"failover_bad_tag": 12, "failover_replayed": 1}
    assert "sync frames that unit 1 refused so far: bad_tag 12, replayed 1" in text(env).splitlines()


def test_a_full_table_and_what_it_refused():
    env = Env()
    env.pair.values[0] |= {"in_use": 16, "lookup_table_full": 3, "lookup_half_open_refused": 2}
    said = text(env)
    assert (
        "connections: 16 of 16 in use" in said
        and "connection table: full" in said
        and "SYNs refused so far: 5" in said
    )
    assert read_status(env)["connections"] == {"in_use": 16, "limit": 16, "half_open": 0, "full": True, "refused": 5}


def test_after_a_kill_the_other_unit_is_active_without_protection():
    env = Env()
    env.kill("active")
    env.role(3)
    env.pair.values[1] |= {"unprotected": 1}
    lines = text(env).splitlines()
    assert (
        lines[:2] == ["unit 0: killed", "unit 1: active, epoch 2"]
        and "connections are unprotected: unit 0" in lines[3]
    )


def test_a_fenced_unit_and_fenced_cores():
    env = Env()
    env.role(2)
    env.pair.values[0] |= {"fenced": 1, "fenced_cores": 2}
    said = text(env)
    assert "unit 0: fenced: the other unit has taken over from it" in said and "fenced cores: 1" in said


def test_neither_unit_runs():
    env = Env()
    env.kill("0")
    env.freeze("1")
    status = read_status(env)
    assert status["running"] == [] and status["active"] is None and status["connections"] is None
    said = status_text(status)
    assert "unit 0: killed\nunit 1: frozen\nno unit runs: `spps ctl thaw`" in said
    env.thaw()
    env.kill("1")
    assert "no unit runs: connections are lost" in text(env)


def test_no_unit_is_active():
    env = Env()
    env.role(0, 1)
    assert "no unit is active" in text(env)


def test_a_standby_that_has_not_joined_and_one_that_is_refused():
    env = Env()
    env.pair.values[0] |= {"joined": 0, "peer_present": 0, "unprotected": 1, "join_verdict": 3}
    env.pair.values[1] |= {"joined": 0}
    said = text(env)
    assert "unit 0: active, epoch 1, refuses its standby: its configuration is another one" in said
    assert "unit 1: standby, epoch 0, has not joined: it takes no records" in said


def test_connections_of_which_the_standby_has_no_record():
    env = Env()
    env.pair.values[0] |= {"resync": 1, "exposed": 3}
    assert read_status(env)["protection"] == "resync" and read_status(env)["exposed"] == 3
    assert "connections are being protected: unit 1 has joined and still lacks the records of 3" in text(env)
    env.pair.values[0] |= {"resync": 0}
    assert read_status(env)["protection"] == "resync"
