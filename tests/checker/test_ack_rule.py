"""The reference model of the ACK rule: each clause decides, and the model alone finds programs that break the rule."""
import pytest

from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker import wire
from spps_sim.checker.ack_rule import judge

pytestmark = pytest.mark.slow


def run(**scenario):
    trial = Trial(Scenario(limit=1_000_000, **scenario))
    trial.start()
    trial.finish()
    return trial.frames


@pytest.fixture(scope="module")
def frames():
    return run(up=4000, down=4000)


def sync_type(frame):
    sync = wire.parse_sync(frame.data) if frame.kind in (FrameKind.SYNC0, FrameKind.SYNC1) else None
    return sync and sync.type


def segment(frame, kind, side):
    return wire.parse_segment(frame.data) if frame.kind is kind and frame.side == side else None


#: what the model must not see -> which clause of the rule is then broken
MISSING = {
    "confirmations": lambda f: sync_type(f) in (wire.CONFIRM, wire.ECHO),
    "records": lambda f: sync_type(f) == wire.STATE and wire.parse_sync(f.data).kind == 0,
    "segments of the server": lambda f: (s := segment(f, FrameKind.IN, 1)) is not None and not s.flags & wire.SYN,
    "data of the client": lambda f: (s := segment(f, FrameKind.IN, 0)) is not None and s.payload,
}


def test_every_ack_is_permitted_and_every_permission_is_used(frames):
    report = judge(frames)
    assert report.violations == [] and report.owed == [] and max(report.waits) < 1000
    assert len({a.permitted for a in report.acknowledgements if a.side == 0}) > 5


@pytest.mark.parametrize("missing", MISSING)
def test_every_clause_is_needed_for_the_verdict(frames, missing):
    assert judge([f for f in frames if not MISSING[missing](f)]).violations


@pytest.mark.parametrize("late", [1, 500])
def test_a_confirmation_counts_from_its_last_word(frames, late):
    """Were the standby that much later than it was, ACKs would have left too early."""
    first = next(f for f in frames if f.kind is FrameKind.OUT and (s := wire.parse_segment(f.data))
                 and s.flags & wire.SYN and s.flags & wire.ACK)
    gate = max(f.cycle for f in frames if sync_type(f) == wire.CONFIRM and f.cycle < first.start)
    shifted = [f._replace(cycle=first.start + late)
               if gate <= f.cycle <= first.start and sync_type(f) in (wire.CONFIRM, wire.ECHO) else f
               for f in frames]
    assert judge(shifted).violations


@pytest.mark.parametrize("defect", ["BROKEN_ACK_BEFORE_CONFIRM", "BROKEN_ACK_BEFORE_COMMIT"])
def test_a_program_that_acknowledges_early_is_found(defect):
    """While the standby is frozen no ACK can be in time by luck."""
    trial = Trial(Scenario(defines=(defect,), registers={"lease": 60_000, "takeover_after": 80_000}))
    trial.start()
    trial.net.run_until(trial.begin + 60_000,
                        lambda: any((s := segment(f, FrameKind.OUT, 1)) is not None and s.payload
                                    for f in trial.frames))
    trial.sim.freeze(1)
    trial.run_until(trial.sim.cycle + 10_000)
    assert any("permitted is" in text for text in judge(trial.frames).violations)
