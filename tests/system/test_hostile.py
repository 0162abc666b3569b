"""Many frames with mutated headers, as fast as the pair takes them, do not disturb a transfer."""
import pytest

from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.hostile import hostile_frames
from spps_sim.campaign.scenario import VIP, Scenario, Trial
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import parse_segment
from spps_sim.model.splitter import Splitter
from spps_sim.peers.frames import ip_number
from tests.volume import volume

FRAMES = volume(25_000, 100_000)
AHEAD = 24              # hostile frames that wait at the input
#: what only a broken splitter, a full scratchpad, or the filter of TCP flags (off here) can count
NOT_BY_FRAMES = {"splitter_payload_length", "splitter_scratchpad_full", "splitter_tcp_flags"}


@pytest.mark.slow
def test_mutated_headers_are_counted_to_the_last_and_hurt_nobody():
    trial = Trial(Scenario(up=60_000, down=60_000, limit=30_000_000, seed=4))
    trial.start()
    sim = trial.sim
    trial.net.run_until(trial.begin + 30_000, lambda: len(trial.connection.received) > 1000)
    own = next(raw.data for raw in trial.frames
               if raw.kind is FrameKind.IN and raw.side == 0 and (s := parse_segment(raw.data)) and s.payload)
    targets = [[ip_number(VIP[0])], [ip_number(VIP[1])]]
    for port, data, err in hostile_frames(FRAMES, 1, own[:6], targets, own):
        sim.push_frame(port, data, err)
        while sim.backend.pending() > AHEAD:
            trial.net.run_until(trial.net.time + 200)
    while sim.backend.pending():
        trial.net.run_until(trial.net.time + 1000)
    trial.finish()
    for _ in range(400):                # connections that strangers began give up
        if not sim.read(0, "in_use"):
            break
        trial.net.run_until(trial.net.time + 5000)
    sim.write(0, "arp_retries", 0)      # nobody is asked for any more, so nothing counts while the counters are read
    trial.net.run_until(trial.net.time + 5000)

    served = [c for c in trial.accepted() if c.received]
    assert len(served) == 1 and bytes(served[0].received) == trial.up and bytes(trial.connection.received) == trial.down
    assert trial.connection.finished and served[0].finished and not trial.connection.queue.conflicts
    report = check([f for raw in trial.frames if not raw.err and (f := to_frame(raw))])
    assert report.ok, report.violations[:5]
    assert report.checks["I1"] > 100 and report.checks["I3"] > 100, report.checks

    came = [raw for raw in trial.frames if raw.kind is FrameKind.IN]
    model = Splitter(int.from_bytes(own[:6], "big"), [ip for port in targets for ip in port])
    for raw in came:
        model.put(raw.data, port=raw.side, err=raw.err)
    counters = sim.counters(0)
    found = {name.removeprefix("splitter_"): n for name, n in counters.items() if name.startswith("splitter_")}
    assert {name: n for name, n in found.items() if n} == dict(model.count)
    assert len(came) == found["frames"] == sum(found.values()) - found["frames"] and len(came) > FRAMES
    missing = {f"splitter_{name}" for name, n in found.items() if not n} - NOT_BY_FRAMES
    assert not missing, f"never met: {missing}"
    assert counters["director_traps"] == 0 and sim.read(0, "in_use") == 0
    assert {name: counters[name] for name in ("free_pages", "gate_level", "timers_armed")} == {
        "free_pages": sim.params.scratch_pages, "gate_level": 0, "timers_armed": 0}
    looked_up = ("hits", "created", "noflow", "standby_drop", "refused", "icmp_noflow", "parked")
    more = counters["neighbour_requests"] + counters["neighbour_polls"] + counters["lookup_retried"]
    assert found["events"] + more == sum(counters[f"lookup_{name}"] for name in looked_up)
    # ICMP: a message about a segment is judged by the lookup or the program; an echo request is answered or counted
    assert min(counters["lookup_icmp_noflow"], counters["lookup_icmp_old"]) > FRAMES // 1000
    assert not counters["lookup_icmp_too_big"] and not counters["lookup_icmp_refused"]
    echoes = {name: counters[f"echo_{name}"] for name in ("answered", "limited", "busy", "standby")}
    assert sum(echoes.values()) == found["icmp_echo"] and echoes["answered"] == counters["egress_echoes"] > 10
    print(f"{len(came)} frames in {sim.cycle} cycles: {dict(model.count)}")
