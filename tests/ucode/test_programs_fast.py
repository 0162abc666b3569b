"""The fast path of the program do what its general path does: the same frames at the same times, and less work."""
import random
from functools import partial

import pytest

from spps.ucode.asm import assemble
from spps.ucode.iss import CoreIss
from spps.ucode.programs import default_image
from spps_sim.checker.wire import ACK, SYN
from spps_sim.measure import events
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.peers.frames import (
    mss_option,
    sack_permitted_option,
    timestamp_option,
)

STAMPS = {"client": {"timestamps": True}, "server": {"timestamps": True}}
#: destinations whose windows are smaller than that of the unit
BACKLOG = {"config": {"window": 16384}, "client": {"timestamps": True, "window": 5000},
           "server": {"timestamps": True, "window": 3001}}
CASES = {
    "up": {"up": 60_000, "down": 0},
    "both ways": {"up": 30_000, "down": 30_000, "close": "both"},
    "unprotected": {"up": 30_000, "down": 2000, "standby": False},
    "small windows": {"up": 20_000, "down": 3000, "config": {"window": 2000}, "server": {"window": 900}},
    "slow start": {"up": 40_000, "down": 100, "config": {"window": 16384, "initial_window": 1}},
    "backlog": {"up": 60_000, "down": 0, **BACKLOG},
    "backlog both ways": {"up": 40_000, "down": 40_000, "close": "both", **BACKLOG},
    "backlog, unprotected": {"up": 40_000, "down": 40_000, "standby": False, **BACKLOG},
    "backlog behind cwnd": {"up": 60_000, "down": 3000, "config": {"window": 16384, "initial_window": 1}, "delay": 40},
    "backlog, lossy": {"up": 40_000, "down": 40_000, "loss": 0.03, **BACKLOG},
    "backlog, SACK": {"up": 40_000, "down": 40_000, "loss": 0.03, **BACKLOG, "client": {"sack": True, "window": 5000},
                      "server": {"sack": True, "window": 3001}},
    "backlog, killed": {"up": 30_000, "down": 10_000, "kill": (61, "lost"), **BACKLOG},
    "backlog, small segments": {"up": 20_000, "down": 9000, **BACKLOG, "client": {"mss": 300, "window": 2500}},
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


GROWS = 1 << default_image().constants["GROWS"]


def talk(name, seed, timestamps, defines):
    """Frames of a leg that sends data with new and old ACKs and ever other windows, while the far end sends, too.

    Now and then a congestion window becomes another one, as after a loss; the standby takes no record for a while; and
    a segment is larger than the far end's MSS, beyond the window, or has an old timestamp.
    """
    rng = random.Random(seed)
    options = mss_option(1000) + (timestamp_option(1, 0) if timestamps else b"")
    options += sack_permitted_option() if seed & 1 else b""
    far = {"window": rng.choice((700, 1500, 3000, 8000)), "sack": True}
    leg = Leg(name, options=options, timestamps=timestamps, defines=defines, config={"window": 16384},
              **{"server" if name == "client" else "client": far})
    leg.open()
    edge, told = leg.rcv + leg.window, leg.rcv
    for _ in range(150):
        if rng.random() < 0.5:
            leg.far_write(bytes(rng.choice((1, 400, 1000, 3000))))
        leg.take(leg.settle(rng.choice((1, 3, 12, 30))))
        leg.unit.sync_ready = int(rng.random() < 0.95)
        if rng.random() < 0.2:
            far_end = rng.random() < 0.5
            leg.state[leg.place("cwnd", peer=far_end)] = rng.choice((300, 1500, 16_000))
            leg.state[leg.place("cwnd_acc", peer=far_end)] = 0
            leg.state[leg.place("leg_flags", peer=far_end)] |= GROWS
        if rng.random() < 0.1:
            leg.state[leg.place("rtt_start")] = leg.unit.now() - 5000 & 0xFFFFFFFF
        if rng.random() < 0.8:
            told = rng.choice((told, told + leg.rcv >> 1, leg.rcv, leg.rcv))
        window = rng.choice((edge - told, 2000, 5000, 12_000, 0 if rng.random() < 0.1 else 700))
        edge = max(edge, told + window) if rng.random() < 0.95 else told + window
        room = leg.word("permitted_ack") + leg.word("rcv_window") - leg.nxt & 0xFFFFFFFF
        payload, odd = bytes(min(rng.choice((0, 0, 1, 300, 500, 1000, 1000, 1460)), room)), rng.random()
        if odd < 0.03:
            payload = bytes(min(room + 1, 1460))
        leg.val = leg.pair.time - 1000 if odd > 0.97 else None
        leg.send(payload=payload, ack=told, window=max(0, min(edge - told, 65535)))
        if 0.03 <= odd <= 0.97:
            leg.nxt += len(payload)
        else:
            leg.take(leg.settle(40))
            leg.nxt = leg.word("rcv_nxt")
    leg.unit.sync_ready, leg.val = 1, None
    leg.take(leg.settle(3000))
    return [(f.time, f.link, f.data) for f in leg.pair.capture]


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("name", ["client", "server"])
def test_any_mixture_of_data_acks_and_windows_is_answered_as_by_the_general_path(name, timestamps):
    for seed in range(12):
        assert talk(name, seed, timestamps, ()) == talk(name, seed, timestamps, ["NO_FAST"]), seed


def set_cwnd(leg, value, *, peer=False):
    leg.state[leg.place("cwnd", peer=peer)] = value
    leg.state[leg.place("leg_flags", peer=peer)] |= GROWS


def cwnd_falls_and_rises_again(leg, *, acknowledge):
    """A segment is stored behind a small cwnd; the next one finds a large one, before any ACK."""
    leg.far_write(bytes(500))
    leg.take(leg.settle(40))
    for n, told in enumerate((0, 0, acknowledge)):
        leg.send(payload=bytes(1000), ack=leg.rcv - 500 + 500 * told)
        leg.nxt += 1000
        leg.settle(3)
        if n:
            set_cwnd(leg, (0, 300, 16_000)[n], peer=True)
    leg.settle(600)


def ack_leaves_more_in_flight_than_cwnd(leg):
    leg.send(window=3500)
    leg.settle()
    leg.far_write(bytes(6000))
    leg.settle(100)
    set_cwnd(leg, 300)
    leg.send(ack=leg.rcv + 1000, window=4000)
    leg.take(leg.settle(600))


def all_is_acknowledged_after_a_long_time(leg):
    leg.send(window=2000)
    leg.settle()
    leg.far_write(bytes(6000))
    leg.take(leg.settle(100))
    leg.send(ack=leg.rcv - 1000, window=1000)       # measured
    leg.settle(10)
    leg.state[leg.place("rtt_start")] = leg.unit.now() - 5000 & 0xFFFFFFFF
    leg.send(window=2000)
    leg.take(leg.settle(600))


@pytest.mark.parametrize("play", [
    partial(cwnd_falls_and_rises_again, acknowledge=0), partial(cwnd_falls_and_rises_again, acknowledge=1),
    ack_leaves_more_in_flight_than_cwnd, all_is_acknowledged_after_a_long_time,
], ids=["stored data", "stored data with an ACK", "small cwnd", "idle"])
def test_what_waits_is_sent_when_the_general_path_sends_it(play):
    frames = []
    for defines in ([], ["NO_FAST"]):
        leg = Leg("client", options=mss_option(1000), config={"window": 16384}, defines=defines)
        leg.open()
        play(leg)
        frames.append([(f.time, f.link, f.data) for f in leg.pair.capture])
    assert frames[0] == frames[1]


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
