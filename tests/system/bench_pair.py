"""cocotb benches of a pair: Python peers on both networks, the reference model of the ACK rule beside them."""
import os
import pickle
from pathlib import Path

import cocotb
from cocotb.task import bridge

from spps.gen import preset_params
from spps.mmc import register_addresses
from spps_sim.backend.interface import FrameKind
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker import wire
from spps_sim.checker.ack_rule import judge
from spps_sim.testbench.cocotb_pair import CocotbPair

PARAMS = preset_params("tiny")
SEED = int(os.environ["SPPS_SEED"])
PROMPT = 1000       # cycles from permission to the ACK, when nothing hinders it
UP, DOWN = 0, 1


def bench(scenario, testcase=None):
    """A cocotb test that hands a started Trial of the pair to a plain function."""
    def decorate(function):
        async def run(dut):
            pair = CocotbPair(dut, PARAMS.data_width)
            await pair.start()
            dut._log.info("seed %d", SEED)

            def play():
                trial = Trial(scenario, Simulation(pair, register_addresses(PARAMS), PARAMS))
                trial.start()
                function(trial)
            await bridge(play)()
        run.__name__ = run.__qualname__ = function.__name__
        run.__doc__ = function.__doc__
        return cocotb.test(timeout_time=30, timeout_unit="ms")(run)
    return decorate


def check(trial, *, prompt=PROMPT):
    """Peers, captures and model agree that all is well; returns the model's report."""
    assert trial.failures() == []
    report = judge(trial.frames)
    assert report.violations == []
    assert report.owed == [], "permitted and never acknowledged"
    assert len(report.acknowledgements) >= 10
    assert prompt is None or max(report.waits) <= prompt, (
        f"an ACK left {max(report.waits)} cycles after it was permitted")
    return report


def segments(trial, kind, side):
    """(frame, segment) of one direction on one network."""
    return [(f, s) for f in trial.frames
            if f.kind is kind and f.side == side and (s := wire.parse_segment(f.data)) is not None]


def run_while(trial, condition, *, cycles=4, limit=60_000):
    """Run in small steps while condition() holds."""
    end = trial.sim.cycle + limit
    while condition():
        trial.run_until(trial.sim.cycle + cycles)
        assert trial.sim.cycle < end, "never happened"


def commit_of_first_data(trial):
    """(number, offset) of the first record that says the server has acknowledged bytes of the client; None: not yet."""
    syn = next((s for _, s in segments(trial, FrameKind.OUT, 1) if s.flags & wire.SYN), None)
    for frame in trial.frames:
        sync = wire.parse_sync(frame.data) if frame.kind is FrameKind.SYNC0 else None
        if sync is not None and sync.type == wire.STATE:
            offset = (sync.snd_una(1) - syn.seq) & 0xFFFFFFFF
            if offset > 1:
                return sync.number, offset
    return None


@bench(Scenario(seed=SEED, up=6000, down=4000, close="both"))
def acknowledges_what_the_rule_permits_and_at_once(trial):
    """Every ACK of a transfer both ways carries the number that the model predicts."""
    trial.finish()
    report = check(trial)
    exact = sum(a.offset == a.permitted for a in report.acknowledgements)
    assert exact >= 0.9 * len(report.acknowledgements), f"{exact} of {len(report.acknowledgements)} as predicted"
    if folder := os.environ.get("SPPS_P_FRAMES"):
        Path(folder).write_bytes(
            pickle.dumps((trial.scenario, [tuple(f) for f in trial.frames], [tuple(m) for m in trial.marks])))


@bench(Scenario(seed=SEED, up=2500, down=2500, fault="mixed"))
def keeps_the_rule_on_bad_networks(trial):
    """Loss, duplicates, reordering and damage between peers and pair."""
    trial.finish()
    assert any(trial.net.link.fates.values())
    check(trial, prompt=None)


@bench(Scenario(seed=SEED, registers={"lease": 60_000, "takeover_after": 80_000}))
def withholds_the_ack_until_the_standby_confirms(trial):
    """With the standby frozen the server's ACKs come in and none goes out to the client; thawed, they go."""
    run_while(trial, lambda: not any(s.payload for _, s in segments(trial, FrameKind.OUT, 1)))
    trial.sim.freeze(1)
    frozen = trial.sim.cycle
    trial.run_until(frozen + 12_000)
    before = judge(trial.frames)
    syn = next(s for _, s in segments(trial, FrameKind.OUT, 1) if s.flags & wire.SYN)
    acked = max((s.ack - syn.seq) & 0xFFFFFFFF for _, s in segments(trial, FrameKind.IN, 1))
    assert acked > 500, "the server has acknowledged data"
    assert commit_of_first_data(trial), "the active has told the standby"
    late = [s for f, s in segments(trial, FrameKind.OUT, 0) if f.start > frozen]
    assert all(s.ack == late[0].ack for s in late), "the client gets no new number"
    assert before.violations == [] and before.owed == []
    assert all(a.offset <= 1 for a in before.acknowledgements if a.side == 0)
    assert trial.connection.snd_una == 1, "the client keeps every byte"

    trial.sim.freeze(1, False)
    thawed = trial.sim.cycle
    run_while(trial, lambda: trial.connection.snd_una < acked, limit=8000)
    first = next(a for a in judge(trial.frames).acknowledgements if a.side == 0 and a.offset > 1)
    assert first.cycle > thawed and first.offset <= first.stored
    trial.finish()
    check(trial, prompt=None)


def _kill_after_commit(trial, moment):
    """Kill the active when its record is on the link, or when it is confirmed, before the ACK has begun to leave."""
    run_while(trial, lambda: commit_of_first_data(trial) is None)
    number, offset = commit_of_first_data(trial)
    if moment == "confirmed":
        run_while(trial, lambda: trial.sim.status()["confirmed_0"] < number)
    trial.kill()
    assert all(a.offset <= 1 for a in judge(trial.frames).acknowledgements if a.side == 0), "the ACK had left"
    trial.finish()
    report = check(trial, prompt=None)
    resumed = [a for a in report.acknowledgements if a.unit == 1 and a.side == 0]
    assert resumed, "the standby goes on with the client"
    if moment == "confirmed":
        assert resumed[0].offset >= offset, "what was confirmed is acknowledged at once"
    for connection in (trial.connection, *trial.accepted()):
        assert len(connection.fin_numbers) == 1 and connection.was("fin") == 1


@bench(Scenario(seed=SEED))
def resumes_after_a_kill_with_the_record_on_the_link(trial):
    _kill_after_commit(trial, "record")


@bench(Scenario(seed=SEED, close="server"))
def resumes_after_a_kill_between_confirmation_and_ack(trial):
    _kill_after_commit(trial, "confirmed")
