"""The run of a case: a Trial whose units, links and peers fail more than once, and what must hold afterwards."""
import random
from dataclasses import dataclass
from typing import Any

from ..backend.interface import FrameKind, SyncFaults
from ..checker.wire import parse_sync
from .fork import in_fork
from .scenario import Trial
from .variants import LINKS
from .verdict import lost_streams, promised

__all__ = ["CaseRun", "Stop"]

STEP = 25           # cycles between two looks at the roles
RESUME_BOUND = 300_000      # ns, 30,000 cycles: a unit that takes over is heard of, see checker.resume
POLL = 100          # cycles between two looks at registers
QUIET = 30_000      # cycles without an event after which a peer that waits, waits for ever; keepalive needs 24,000
#: what a unit says of itself; `said` adds "protected"
SAYS = ("active", "joined", "resync", "exposed", "unprotected", "lease_valid", "emit_enable")


@dataclass
class Stop:
    """A unit that stopped.

    Attributes
    ----------
    cycle, unit : int
        When, which.
    active : bool
        It was the active.
    told : bool
        The IP switch knows: a kill; else a freeze, of which nobody is told.
    said : dict
        What the active said of itself in that cycle, see CaseRun.said.
    """

    cycle: int
    unit: int
    active: bool
    told: bool
    said: dict


class CaseRun(Trial):
    """One run of a Setting, with everything a failure can do to it.

    Parameters
    ----------
    setting : Setting
        Of the run.
    sim : Simulation, optional
        See Trial.
    waves : bool
        The library can write a waveform.

    Attributes
    ----------
    stops : list of Stop
        Units that stopped.
    wrong : list of str
        What a failure has found wrong while it ran.
    notes : dict
        Figures of the run, for the records.
    gone : str
        The peer that is gone for good: "client", "server" or "".
    asked, answers : list
        What registers said in forks; if `answers` is given, they come from there and nothing forks.
    """

    def __init__(self, setting, sim=None, *, scenario=None, waves=False):
        super().__init__(scenario or setting.scenario(), sim, waves=waves)
        self.setting = setting
        self.lossy = LINKS[setting.link].losing
        self.stops: list[Stop] = []
        self.wrong, self.notes = [], {}
        self.began = 0                  # cycle in which the failure begins
        self.gone = ""
        self.promises: list[dict] = []  # what the active said before each failure that a connection must survive
        self.lost: int | None = None    # cycle from which no unit has had the connections
        self._stopped = 0               # bit n: unit n
        self._on = []                   # (cycle, unit) of units that were switched on
        self._silent: Any = None        # the peer that left the network
        self.rng = random.Random()
        self.asked, self.answers = [], None

    # set-up --------------------------------------------------------------------------------
    def ready(self):
        """Begin with the faults of the sync link."""
        self.mend_link()

    def mend_link(self, sender=None):
        """Give the frames of `sender`, or of both units, the faults of the setting again."""
        for unit in (0, 1) if sender is None else (sender,):
            self.sim.sync_faults(unit, self.setting.sync_faults(unit))

    def cut_link(self, sender):
        """Lose every frame of `sender` on the sync link."""
        self.lossy = True
        self.sim.sync_faults(sender, SyncFaults(cut=True))

    # looking -------------------------------------------------------------------------------
    def running(self):
        """Return the units that run."""
        return [unit for unit in (0, 1) if not self._stopped >> unit & 1]

    def active(self):
        """Return the running unit that is the active, of two the one with the later epoch; None without one."""
        status = self.sim.status()
        units = [unit for unit in self.running() if status["active"] >> unit & 1]
        return max(units, key=lambda unit: status[f"epoch_{unit}"], default=None)

    def ask(self, *wanted):
        """Return the values of registers, (unit, name) each, without time passing: they are read in a fork."""
        if self.answers is not None:
            values = self.answers.pop(0)
        else:
            values = in_fork(lambda: [self.sim.read(unit, name) for unit, name in wanted])
        self.asked.append(values)
        return values

    def said(self, unit=None, *, waiting=False):
        """Return what `unit`, or the active, says of itself now, with "protected" as `spps ctl status` says it.

        waiting: some cycles may pass, which is faster than a fork.
        """
        unit = self.active() if unit is None else unit
        if unit is None:
            return {"active": 0, "protected": False}
        if self.scenario.fake:
            return {"active": 1, "joined": 1, "unprotected": 0, "emit_enable": 1, "protected": True}
        values = ([self.sim.read(unit, name) for name in SAYS] if waiting
                  else self.ask(*((unit, name) for name in SAYS)))
        says: dict[str, Any] = dict(zip(SAYS, values))
        says["protected"] = bool(says["active"] and says["joined"] and says["lease_valid"]
                                 and not (says["resync"] or says["exposed"] or says["unprotected"]))
        return says

    def seen(self, unit, kind, since):
        """Return the cycle of the last sync frame of type `kind` that `unit` has sent after `since`, or None."""
        for raw in reversed(self.frames):
            if raw.cycle <= since:
                return None
            if (raw.kind == FrameKind.SYNC0 + unit and (sync := parse_sync(raw.data)) is not None
                    and sync.type == kind):
                return raw.cycle
        return None

    # time ----------------------------------------------------------------------------------
    def wait(self, cycles):
        """Let `cycles` pass."""
        self.net.run_until(self.now() + cycles)

    def now(self):
        """Return the cycle of the simulation: an access to a register goes ahead of the network."""
        return max(self.net.time, self.sim.cycle)

    def until(self, condition, limit, step=POLL):
        """Run until condition(), which is looked at every `step` cycles, or for `limit`; return whether it came."""
        end = self.now() + limit
        while not (found := condition()) and self.now() < end:
            self.wait(step)
        return found

    def watch_roles(self, cycles, *, frozen=False):
        """Let `cycles` pass; note how long both units call themselves active, and as wrong when both may emit at once.

        frozen: one of them was, and its lease with it: that both may emit is noted as a figure only, see
        hdl/spps/failover/README.md.
        """
        end = self.now() + cycles
        while self.now() < end:
            self.wait(min(STEP, end - self.now()))
            if self.scenario.fake or len(self.running()) < 2 or self.sim.status()["active"] & 3 != 3:
                continue
            self.notes["two_active_cycles"] = self.notes.get("two_active_cycles", 0) + STEP
            if all(self.ask((0, "emit_enable"), (1, "emit_enable"))):
                self.notes["two_emit_cycles"] = self.notes.get("two_emit_cycles", 0) + STEP
                if not frozen:
                    self.wrong.append(f"both units may emit at cycle {self.sim.cycle}")
                    return

    # failing -------------------------------------------------------------------------------
    def stop(self, unit, told=None):
        """Stop a unit for good, with the IP switch told or not (by chance: told in two of five)."""
        told = self.rng.random() < 0.4 if told is None else told
        stop = Stop(self.sim.cycle, unit, unit == self.active(), told, self.said())
        self.stops.append(stop)
        name = "told" if told else "not_told"
        self.notes[name] = self.notes.get(name, 0) + 1
        if told:
            self.sim.kill(unit)
        else:
            self.sim.freeze(unit)
        self._stopped |= 1 << unit
        return stop

    def stop_active(self, told=None):
        """Stop the active, whose promise counts from now on; return its unit."""
        unit = self.active()
        if unit is None:
            raise RuntimeError(f"no unit is active at cycle {self.sim.cycle}")
        stop = self.stop(unit, told)
        self.promises.append(stop.said)
        self.killed = self.killed or (stop.cycle, unit)
        return unit

    def expect_takeover(self):
        """Run until the other unit has taken over from the one that stopped last.

        A unit that does not within three times `takeover_after` knows no connection, and with the other one they are
        lost. Then the operator makes it the active, as hdl/spps/failover/README.md says.
        """
        stop = self.stops[-1]
        other, after = 1 - stop.unit, self.scenario.registers["takeover_after"]
        if self.until(lambda: self.sim.status()["active"] >> other & 1, 3 * after, STEP):
            taken = self.takeover_cycles(stop)
            if taken is not None and taken > 2 * after:
                self.wrong.append(f"unit {other} takes over {taken} cycles after cycle {stop.cycle}, expected "
                                  f"{2 * after} at most")
            return True
        if stop.said["protected"]:
            self.wrong.append(f"unit {other} never took over from unit {stop.unit}, which stopped at cycle "
                              f"{stop.cycle} and had said that it was protected")
        self.notes["forced"] = 1
        self.lose_both()
        self.sim.detector(other)
        self.until(lambda: self.sim.status()["active"] >> other & 1, 10 * after, STEP)
        self.sim.detector(other, False)
        return False

    def switch_on(self, unit, alone=False):
        """Switch a stopped unit on. alone: the other one is taken off the networks first."""
        if alone and not self._stopped >> 1 - unit & 1:
            self.stop(1 - unit, told=True)
        elif alone:
            self.sim.kill(1 - unit)
        self._on.append((self.sim.cycle, unit))
        self.sim.revive(unit)
        self._stopped &= ~(1 << unit)
        if self.scenario.defines:
            raise RuntimeError("a unit that is switched on has the default program")
        self.notes["switched_on"] = self.notes.get("switched_on", 0) + 1

    def thaw(self, unit):
        """Let a unit that was frozen go on."""
        self.sim.freeze(unit, False)
        self._stopped &= ~(1 << unit)

    def protected_again(self, limit=30_000):
        """Run until the pair is protected again; note as wrong when it is not within `limit` cycles.

        The active says it, and the other unit that it takes its records: what the active says of a standby that has
        just started again is old for as long as a lease.
        """
        began = self.now()
        found = self.until(self._protected, limit)
        if found:
            self.notes["rejoins"] = self.notes.get("rejoins", 0) + 1
            self.notes["rejoin_cycles"] = self.now() - began
        else:
            self.wrong.append(f"the pair is not protected again {limit} cycles after cycle {began}")
        return found

    def _protected(self):
        active = self.active()
        return (active is not None and 1 - active in self.running() and self.said(active, waiting=True)["protected"]
                and (self.scenario.fake or bool(self.sim.read(1 - active, "joined"))))

    def lose_both(self):
        """From here on no unit has the connections, and whoever is switched on refuses them."""
        self.lost = self.sim.cycle

    def silence(self, who):
        """Take a peer off its network: it says nothing any more."""
        self.gone = who
        port, peer = (0, self.client) if who == "client" else (1, self.server)
        self.net.peers[port].remove(peer)

    def restart(self, who):
        """Let a peer forget its connections, as after a restart: it answers their segments with RST."""
        self.gone = who
        peer = self.client if who == "client" else self.server
        peer.past += list(peer.connections.values())
        peer.connections.clear()

    # the end -------------------------------------------------------------------------------
    def begin_case(self, case):
        """Take the chances of a case; its failure begins in this cycle."""
        self.rng = case.random()
        self.began = self.sim.cycle

    def survives(self):
        """Return whether both peers must get every byte and both FINs."""
        return not self.gone and self.lost is None and promised(self.promises)

    def live(self):
        """Return (name, connection, bytes it has to receive) of the peers that are not gone."""
        return [(name, connection, data) for name, connection, data in (
            ("client", self.connection, self.down), *(("server", one, self.up) for one in self.accepted()))
            if name != self.gone]

    def finish(self, settle=3000):
        """Run until everything is over; a peer that waits for ever is made to speak, so that it gets an answer."""
        if self.survives():
            super().finish(settle)
            return
        end, quiet = self.begin + self.scenario.limit, 0
        while self.net.time < end and quiet < QUIET:
            before = [c.counters["received"] for _, c, _ in self.live()]
            if self.net.run_until(min(end, self.net.time + 2000), self._all_over):
                break
            still = before == [c.counters["received"] for _, c, _ in self.live()]
            quiet = quiet + 2000 if still and not any(c.deadline() for _, c, _ in self.live()) else 0
        self.end = self.net.time
        for name, connection, _ in self.live():
            if connection.state.name != "CLOSED":
                self.notes["waiting"] = self.notes.get("waiting", 0) + 1
                if self.gone and promised(self.promises):
                    self.wrong.append(f"{name}: still {connection.state.name}, and has not been told in {QUIET} cycles "
                                      f"that the {self.gone} is gone")
                connection.read()
        self.net.run_until(self.net.time + settle + 2000)

    def _all_over(self):
        return bool(self.live()) and all(c.state.name == "CLOSED" for _, c, _ in self.live())

    def over(self):
        """Return whether what is left of the connection is closed."""
        return super().over() if not self.gone else self._all_over()

    def whole(self, raw):
        """Return whether a frame is one.

        A unit that stops within a sync frame and is switched on again leaves its first words before the next frame.
        """
        return super().whole(raw) and not any(
            raw.kind == FrameKind.SYNC0 + unit and raw.start < cycle <= raw.cycle for cycle, unit in self._on)

    # judgement -----------------------------------------------------------------------------
    def takeover_cycles(self, stop=None):
        """Return the cycles from the first stop of an active, or from `stop`, to the takeover; None without one."""
        stop = stop or next((stop for stop in self.stops if stop.active), None)
        if stop is None:
            return None
        before = 0
        for mark in self.marks:
            if mark.name == "active" and (self.lost is None or mark.cycle < self.lost):
                taken = mark.value & ~before
                if mark.cycle >= stop.cycle and taken >> (1 - stop.unit) & 1:
                    return mark.cycle - stop.cycle
                before = mark.value
        return None

    def stalls(self):
        """Return for each peer the longest time without progress that ends after the failure, cycles; None: nothing."""
        found = {}
        for name, connection, _ in self.live():
            times = [time for time, what in connection.history if what in ("established", "data", "fin")]
            gaps = [b - a for a, b in zip(times, times[1:]) if b > self.began]
            if gaps:
                found[name] = max(gaps)
        return found

    def failures(self, resume_bound=RESUME_BOUND):
        """Return what is wrong at the end, as texts; empty when all is well.

        The monitor judges up to the moment at which no unit has the connections: a pair that begins anew numbers its
        records anew.
        """
        wrong = list(self.wrong)
        if self.survives():
            wrong += super().failures(resume_bound)
        else:
            for name, connection, expected in self.live():
                wrong += [f"{name}: {text}" for text in lost_streams(connection, expected)]
            wrong += self.violations(resume_bound, self.lost)
        if not self.scenario.fake:
            wrong += [f"unit {unit}: {count} heartbeats of another active of its own epoch" for unit in self.running()
                      if (count := self.sim.read(unit, "failover_dual_active"))]
        return wrong
