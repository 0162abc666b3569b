"""Connections from flowstate words."""

import re
from pathlib import Path

import pytest

import spps.ucode.programs
from spps.layouts.flowstate import LEG, LEG_BASE, LEG_STRIDE, SHARED, ConnFlag
from spps.tools.errors import ToolError
from spps_sim.live import connections
from spps_sim.live.connections import connections_answer, connections_text, decode, read_connections
from tests.live.env_live import Env

VALID, PROTECTED, PROXIED, TIME_WAIT = (
    1 << bit for bit in (ConnFlag.VALID, ConnFlag.PROTECTED, ConnFlag.PROXIED, ConnFlag.TIME_WAIT)
)
IN, OUT, ACKED = 1, 2, 4


def put(words, field, value, base=0):
    words[base + field.word] = words.get(base + field.word, 0) | value << field.lsb


def flowstate(
    flags=VALID | PROXIED | PROTECTED,
    *,
    epoch=1,
    states=(4, 4),
    fins=(0, 0),
    iss=(1000, 0xFFFFFFF0),
    irs=(500, 700),
    una=(1001, 0xFFFFFFF1),
    fin_seq=(0, 0),
    misc=0,
):
    """{word: value} of a flowstate."""
    words = {}
    for name, value in {
        "flags": flags,
        "epoch": epoch,
        "snd_una_0": una[0],
        "snd_una_1": una[1],
        "fin_seq_0": fin_seq[0],
        "fin_seq_1": fin_seq[1],
        "misc": misc,
    }.items():
        put(words, SHARED[name], value)
    for leg, (local, remote) in enumerate(((80, 40000), (32768, 80))):
        base = LEG_BASE + LEG_STRIDE * leg
        for name, value in {
            "local_ip": 0x0A4D0101 + 0x100 * leg,
            "remote_ip": 0x0A4D0102 + 0x100 * leg,
            "local_port": local,
            "remote_port": remote,
            "iss": iss[leg],
            "irs": irs[leg],
            "state": states[leg],
            "leg_flags": fins[leg],
            "snd_una": una[leg],
            "rcv_nxt": irs[leg] + 1,
        }.items():
            put(words, LEG[name], value, base)
    return words


def test_numbers_of_the_program_are_those_of_its_source():
    source = (Path(spps.ucode.programs.__file__).parent / "common.uasm").read_text()
    for name in ("GONE", "SYN_SENT", "SYN_HELD", "SYN_RCVD", "ESTABLISHED", "FIN_IN", "FIN_OUT", "FIN_ACKED"):
        assert int(re.search(rf"^\.equ {name}\s+(\d+)", source, re.M)[1]) == getattr(connections, name), name


def test_addresses_and_bytes_across_the_wrap():
    found = decode(3, flowstate(una=(1001 + 70, 0x20)), 1, 0)
    assert (found.number, found.protected, found.bytes_down, found.bytes_up) == (3, True, 70, 0x2F)
    assert (found.client.remote, found.client.local) == ("10.77.1.2:40000", "10.77.1.1:80")
    assert (found.server.local, found.server.remote) == ("10.77.2.1:32768", "10.77.2.2:80")


def test_an_acknowledged_fin_is_no_byte():
    flags = VALID | PROXIED | 1 << ConnFlag.FIN_KNOWN_0
    assert decode(0, flowstate(flags, una=(1001, 0xFFFFFFF1 + 10), fin_seq=(501 + 10, 0)), 1).bytes_up == 10
    assert decode(0, flowstate(flags, una=(1001, 0xFFFFFFF1 + 11), fin_seq=(501 + 10, 0)), 1).bytes_up == 10


@pytest.mark.parametrize(
    "flags, state, fins, word",
    (
        (0, 1, 0, "SYN-SENT"),
        (0, 2, 0, "SYN-RECEIVED"),
        (0, 3, 0, "SYN-RECEIVED"),
        (0, 4, 0, "ESTABLISHED"),
        (0, 4, OUT, "FIN-WAIT-1"),
        (0, 4, OUT | ACKED, "FIN-WAIT-2"),
        (0, 4, IN, "CLOSE-WAIT"),
        (0, 4, IN | OUT, "LAST-ACK"),
        (0, 4, IN | OUT | ACKED, "TIME-WAIT"),
        (TIME_WAIT, 4, 0, "TIME-WAIT"),
        (1 << ConnFlag.PAUSED_0, 4, 0, "ESTABLISHED, paused"),
        (1 << ConnFlag.PAUSED_0, 4, IN, "CLOSE-WAIT, paused"),
        (1 << ConnFlag.PAUSED_1, 4, 0, "ESTABLISHED"),
        (0, 0, 0, "CLOSED"),
    ),
)
def test_states_in_words_of_rfc_9293(flags, state, fins, word):
    assert decode(0, flowstate(VALID | PROXIED | flags, states=(state, 4), fins=(fins, 0)), 1).client.state == word


@pytest.mark.parametrize(
    "words",
    ({}, flowstate(0), flowstate(misc=1 << 10), flowstate(epoch=2)),
    ids=("empty", "never opened", "retired", "other epoch"),
)
def test_what_is_no_connection_of_the_unit(words):
    assert decode(0, words, 1) is None


@pytest.mark.parametrize("epoch, joins, protected",
                         [(1, 0, True), (1, None, False), (1, 1, False), (1 | 2 << 16, 2, True),
                          (1 | 2 << 16, 3, False)])
def test_protected_is_a_connection_that_the_present_standby_has(epoch, joins, protected):
    assert decode(0, flowstate(epoch=epoch), 1, joins).protected is protected


def test_a_connection_that_waits_for_its_server_has_no_bytes():
    found = decode(0, flowstate(PROXIED, states=(2, 1), una=(0, 0)), 1)
    assert (found.bytes_up, found.bytes_down, found.server.state, found.protected) == (0, 0, "SYN-SENT", False)


def test_an_endpoint_has_one_leg():
    words = flowstate(VALID, una=(1001 + 9, 0))
    words[LEG_BASE + LEG["rcv_nxt"].word] = 501 + 30
    found = decode(0, words, 1)
    assert (found.server, found.bytes_up, found.bytes_down) == (None, 30, 9)


def test_the_active_unit_is_asked_while_traffic_goes_on():
    env = Env()
    env.pair.flowstates = {2: flowstate(), 9: flowstate(VALID | PROXIED), 10: flowstate(misc=1 << 10)}
    env.pair.values[0]["in_use"] = 2
    unit, found = read_connections(env)
    assert unit == 0 and [(c.number, c.protected) for c in found] == [(2, True), (9, False)] and env.turns == 2
    lines = connections_text(connections_answer(env)).splitlines()
    assert (
        len(lines) == 4
        and lines[0].startswith("unit 0: 2 of 16 connections in use")
        and "that after its last event" in lines[0]
    )
    assert lines[2].split() == [
        "2",
        "10.77.1.2:40000",
        ">",
        "10.77.1.1:80",
        "ESTABLISHED",
        "10.77.2.1:32768",
        ">",
        "10.77.2.2:80",
        "ESTABLISHED",
        "yes",
        "0",
        "0",
    ]


def test_without_an_active_unit_there_is_nothing_to_list():
    env = Env()
    env.kill("0")
    env.kill("1")
    with pytest.raises(ToolError, match="no unit runs: unit 0 is killed, unit 1 is killed"):
        read_connections(env)
