"""The fast path of the program do what its general path does: the same frames at the same times, and less work."""
import random

import pytest

from spps.ucode.asm import assemble
from spps.ucode.iss import CoreIss
from spps_sim.checker.wire import ACK, SYN
from spps_sim.measure import events
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.peers.frames import mss_option

STAMPS = {"client": {"timestamps": True}, "server": {"timestamps": True}}
CASES = {
    "up": {"up": 60_000, "down": 0},
    "both ways": {"up": 30_000, "down": 30_000, "close": "both"},
    "unprotected": {"up": 30_000, "down": 2000, "standby": False},
    "small windows": {"up": 20_000, "down": 3000, "config": {"window": 2000}, "server": {"window": 900}},
    "slow start": {"up": 40_000, "down": 100, "config": {"window": 16384, "initial_window": 1}},
    "killed": {"up": 30_000, "down": 10_000, "kill": (31, "lost")},
    "killed later": {"up": 30_000, "down": 10_000, "kill": (52, "record")},
    "SACK": {"up": 30_000, "down": 30_000, "loss": 0.05, "client": {"sack": True}, "server": {"sack": True}},
    "lossy": {"up": 30_000, "down": 30_000, "loss": 0.05},
    "timestamps": {"up": 60_000, "down": 5000, **STAMPS},
    "timestamps both ways": {"up": 30_000, "down": 30_000, "close": "both", **STAMPS},
    "timestamps, lossy": {"up": 30_000, "down": 30_000, "loss": 0.05, **STAMPS},
    "timestamps, killed": {"up": 30_000, "down": 10_000, "kill": (31, "lost"), **STAMPS},
    "timestamps, slow start": {"up": 40_000, "down": 100, "config": {"window": 16384, "initial_window": 1}, **STAMPS},
}


def run(case, **kw):
    settings = dict(CASES[case]) | kw
    kill, loss, dice = settings.pop("kill", None), settings.pop("loss", 0), random.Random(4)
    if loss:
        settings["lose"] = lambda *_: dice.random() < loss
    transfer = Transfer(**settings)
    transfer.pair.kill_at = kill
    transfer.run().check()
    return transfer


@pytest.mark.parametrize("case", CASES)
def test_frames_are_those_of_the_general_path(case):
    fast, general = run(case), run(case, defines=["NO_FAST"])
    assert ([(f.time, f.link, f.data) for f in fast.pair.capture]
            == [(f.time, f.link, f.data) for f in general.pair.capture])


@pytest.mark.parametrize("segment", [
    {"ack": 1000, "window": 100}, {"ack": 0, "window": 100, "payload": b"x" * 50}, {"ack": 9000},
    {"ack": 1000, "window": 0}, {"ack": 0, "window": 0, "payload": b"x"},
], ids=["ACK shrinks the window", "data shrink the window", "ACK of what was never sent", "ACK closes", "data close"])
def test_odd_segments_of_a_steady_connection_are_answered_as_by_the_general_path(segment):
    frames = []
    for defines in ([], ["NO_FAST"]):
        pair = FunctionalPair(defines=defines)
        pair.server.listen(80,
                           lambda connection, what: connection.write(bytes(4000)) if what == "established" else None)
        client = RawClient(pair, options=mss_option(1000))
        client.segment(client.sport, client.dst, seq=client.iss, flags=SYN, window=8192, options=client.options)
        answer, = client.settle()
        client.nxt, client.rcv = client.iss + 1, answer.seq + 1
        client.send()
        assert sum(len(s.payload) for s in client.settle(40)) == 4000
        client.segment(client.sport, client.dst, seq=client.nxt, flags=ACK,
                       **segment | {"ack": client.rcv + segment["ack"]})
        client.settle(500)
        frames.append([(f.time, f.link, f.data) for f in pair.capture])
    assert frames[0] == frames[1]


def test_costs_stay_within_their_budgets():
    """Clocks per event of a protected upload in full segments (README.md of hdl/spps/ucode)."""
    for timestamps in (True, False):
        cost = events.measure(timestamps=timestamps)
        assert cost["data_segment"] <= 125 and cost["pure_ack"] <= 105, cost


def test_clock_estimate_counts_what_the_cluster_counts():
    """Instructions, branches, loads and sends of a small program, by the table of the cluster's README."""
    core = CoreIss(assemble("""
            .scratch out 2
            ld   r1, EV.seq             ; 1
            addi r1, r1, 1              ; 1, and 1 for the load
            jmp  over                   ; 1
            trap 1
    over:   beqz r0, far                ; 1, and 1 as it is taken
            trap 2
    far:    bnez r0, far                ; 1
            li   r2, 7                  ; 1
            st   SC.out, r2             ; 1
            st   SC.out + 1, r0         ; 1
            send SC.out, 1              ; 1
            eoe  r0, r0                 ; 1, and 3 until the next event
    """))
    assert events.clocks(core.run_event([0] * 16, 0, trace=True).trace) == 12 + 3
