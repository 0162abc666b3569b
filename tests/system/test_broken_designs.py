"""For each invariant a design that breaks it on purpose, run on the RTL pair: the monitor names the invariant.

A case runs twice. The design as it is must pass the scenario; then one thing is broken (a define of the microcode,
loaded through the instruction window, or a register) and the same scenario must be rejected.
"""
from dataclasses import dataclass, field
from functools import cache

import pytest

from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import ACK, SYN, parse_segment
from spps_sim.peers.frames import tcp_frame

pytestmark = pytest.mark.slow

RESUME_BOUND = 500_000      # ns: 50,000 cycles after the takeover, longer than the first retransmit of the peers


class Overlapping(Trial):
    """The client sends one segment, and its application the rest when `overlap` says so."""

    def _client(self, connection, what):
        if what == "established":
            connection.write(self.up[:self.scenario.mss])
        else:
            super()._client(connection, what)

    def overlap(self):
        """A segment that is half old and half new, as after a change of segment size; then the rest."""
        mss = self.scenario.mss
        sent = next((raw.data, s) for raw in self.frames
                    if raw.unit is None and raw.side == 0 and (s := parse_segment(raw.data)) and s.payload)
        data, first = sent
        self.sim.push_frame(0, tcp_frame(data[:6], data[6:12], first.src, first.dst, seq=first.seq + mss // 2,
                                         ack=first.ack, flags=ACK, window=first.window,
                                         payload=self.up[mss // 2:3 * mss // 2]))
        self.net.run_until(self.net.time + 2000)
        self.connection.write(self.up[mss:])
        self.connection.close()


def nothing(trial):
    """No event from outside."""


def kill(after):
    def act(trial):
        trial.run_until(trial.begin + after)
        trial.kill()
    return act


def run_until_seen(trial, what, wanted):
    """Run until one of the segments so far is `wanted(raw frame, segment)`."""
    def seen():
        return any((s := parse_segment(raw.data)) and wanted(raw, s) for raw in trial.frames)

    while not seen():
        assert trial.sim.cycle < trial.begin + 20_000, f"no {what}"
        trial.run_until(trial.sim.cycle + 50)


def kill_behind_syn_ack(trial):
    """The active dies when its SYN-ACK is on the way to the client, so the standby has to say it again."""
    run_until_seen(trial, "SYN-ACK", lambda raw, s: raw.unit is not None and raw.side == 0 and s.flags & SYN)
    trial.kill()


def silent_standby(trial):
    """From the first data on the standby stops again and again, each time for less than the lease."""
    run_until_seen(trial, "data to the server", lambda raw, s: raw.unit is not None and raw.side == 1 and s.payload)
    for _ in range(10):
        trial.sim.freeze(1)
        trial.run_until(trial.sim.cycle + 700)
        trial.sim.freeze(1, False)
        trial.run_until(trial.sim.cycle + 500)


def overlap(trial):
    trial.run_until(trial.begin + 8000)
    trial.overlap()


def client_aborts(trial):
    trial.net.run_until(trial.begin + 30_000, lambda: trial.accepted() and len(trial.accepted()[0].received) > 500)
    trial.connection.abort()


def wrong_discovery(trial):
    """The external entity declares the active dead, then gives it the addresses back for a while."""
    trial.run_until(trial.begin + 6000)
    trial.sim.detector(1)
    trial.run_until(trial.begin + 7500)
    trial.sim.detector(1, False)
    trial.sim.appoint(0)
    trial.run_until(trial.begin + 12_500)
    trial.sim.appoint(None)


@dataclass(frozen=True)
class Broken:
    """A defect, what happens to it, the invariant that names it. whole: the clean design completes the transfer."""
    invariant: str
    defines: tuple = ()
    registers: dict = field(default_factory=dict)
    act: object = nothing
    trial: type = Trial
    whole: bool = True
    scenario: dict = field(default_factory=dict)


CASES = {
    "ack_before_confirm": Broken("I1", ("BROKEN_ACK_BEFORE_CONFIRM",), act=silent_standby, scenario={"up": 20_000}),
    "ack_before_commit": Broken("I1", ("BROKEN_ACK_BEFORE_COMMIT",)),
    "one_leg_synced": Broken("I1", ("BROKEN_ONE_LEG_SYNCED",)),
    "ack_goes_back": Broken("I2", ("BROKEN_ONE_LEG_SYNCED",), act=kill(12_000)),
    "window_shrinks": Broken("I2", ("BROKEN_WINDOW_SHRINKS",)),
    "shifted_retransmit": Broken("I3", ("BROKEN_FRESH_ISN",), act=kill(8000)),
    "duplicate": Broken("I3", ("BROKEN_DUPLICATE",), act=overlap, trial=Overlapping),
    "two_masters": Broken("I4", registers={"lease": (1 << 30, 900), "hb_interval": (300, 0)}, act=wrong_discovery),
    "stuck_after_takeover": Broken("I5", ("BROKEN_SLOW_RESUME",), act=kill(8000)),
    "reset_at_takeover": Broken("I5", ("BROKEN_TAKEOVER_RST",), act=kill(8000)),
    "fin_for_rst": Broken("I6", ("BROKEN_FIN_FOR_RST",), act=client_aborts, whole=False,
                          scenario={"up": 20_000, "close": "server"}),
    "fresh_isn": Broken("I7", ("BROKEN_FRESH_ISN",), act=kill_behind_syn_ack),
    "timestamp_back": Broken("I7", ("BROKEN_TIMESTAMP_BACK",), act=kill(8000), scenario={"timestamps": True}),
}


@cache
def library():
    return Scenario().built().library


def run(case, *, broken):
    """The trial, ended, and the monitor's report."""
    changes = {"defines": case.defines, "registers": case.registers} if broken else {}
    scenario = Scenario(library=library(), limit=200_000, **case.scenario, **changes)
    trial = case.trial(scenario)
    trial.start()
    case.act(trial)
    trial.finish()
    frames = [frame for raw in trial.frames if not raw.err and (frame := to_frame(raw))]
    return trial, check(frames, resume_bound=RESUME_BOUND)


def test_every_invariant_has_a_broken_design():
    assert {case.invariant for case in CASES.values()} == {f"I{n}" for n in range(1, 8)}


@pytest.mark.parametrize("name", CASES)
def test_monitor_rejects_the_broken_design_and_passes_the_clean_one(name):
    case = CASES[name]
    trial, report = run(case, broken=False)
    assert report.ok, f"the clean design: {report.violations[0]}"
    if case.whole:
        assert trial.failures() == []
    if case.invariant == "I7":
        assert report.checks["I7"], "no SYN-ACK was sent again"
    _, report = run(case, broken=True)
    assert case.invariant in {violation.invariant for violation in report.violations}, report.violations


def test_an_image_that_does_not_fit_is_refused():
    sim = Scenario(library=library()).simulation()
    words = sim.params.imem_words
    with pytest.raises(ValueError, match=f"instruction memory has {words}"):
        sim.load_image(0, [0] * (words + 1))
