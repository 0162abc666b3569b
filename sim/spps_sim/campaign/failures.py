"""The failures of a campaign, each with a name, one line of text and what must hold.

A failure begins in the cycle of its case. Its function gets the CaseRun, makes the failure, and goes on until nothing
more fails. What must hold at the end is one of these, beside the invariants of the monitor and that no unit hears
another active of its own epoch:

survives
    Both peers get every byte and both FINs, neither sees a reset or a timeout. This is so if the active said that it
    was protected before each failure, which it must say if the sync link has no fault.
by its word
    The same if the active said that it was protected before each failure; else the connection may end.
ends
    No unit has the connection any more. Whatever a peer has received is right, no FIN comes early, and each end is
    told, by RST or by its own timeout, as soon as it speaks. The active said "unprotected" before, where there was
    time.
peer gone
    Whatever the other peer has received is right, and it is told.
"""
from collections.abc import Callable
from dataclasses import dataclass

from ..checker.wire import HEARTBEAT, JOIN
from .case_run import CaseRun
from .variants import LINKS

__all__ = ["FAILURES", "Failure"]

WALK = 1500         # cycles from a JOIN to the end of the resynchronization of one connection, and some more


@dataclass(frozen=True)
class Failure:
    """A row of the table.

    Parameters
    ----------
    text : str
        What happens.
    holds : str
        A row of the table above.
    act : callable
        act(run) makes it happen.
    weight : int
        Share of the cases.
    """

    text: str
    holds: str
    act: Callable[[CaseRun], None]
    weight: int = 1


FAILURES: dict[str, Failure] = {}


def _failure(text, holds, weight=1):
    def take(act):
        FAILURES[act.__name__.strip("_")] = Failure(text, holds, act, weight)
        return act
    return take


def _single(run):
    """Say what the active says before the only failure of a case: without faults of the link it must be protected."""
    says = run.said()
    _protected(run, says)
    run.promises.append(says)


def _protected(run, says):
    """Note as wrong when the active does not take the standby's word for its connections, though the link is sound."""
    if run.setting.link == "none" and (says["unprotected"] or not says["joined"]):
        run.wrong.append(f"before the failure the active does not call itself protected: {says}")


def _dies(run, told):
    run.stop_active(told)
    _protected(run, run.stops[0].said)
    if run.setting.link == "none":
        run.promises.clear()            # the connection survives, whatever its own record was doing
    run.expect_takeover()


@_failure("nothing but the faults of the link", "survives")
def nothing(run):
    """No failure."""
    _single(run)
    run.watch_roles(3000)


@_failure("the active is killed and the IP switch is told", "survives", 2)
def kill(run):
    """A kill that the switch knows of."""
    _dies(run, True)


@_failure("the active stops and nobody is told", "survives", 3)
def freeze(run):
    """A kill that the switch does not know of."""
    _dies(run, False)


@_failure("the active stands still for longer than the takeover takes, then goes on", "survives")
def thaw(run):
    """A unit comes back that does not know what it has missed."""
    unit = run.stop_active(False)
    run.expect_takeover()
    run.wait(run.rng.randrange(2000))
    run.thaw(unit)
    run.watch_roles(3000, frozen=True)
    run.protected_again()


@_failure("the standby stops, the active says so, and stops", "ends")
def standby_before(run):
    """The second failure comes when the first is known."""
    standby = 1 - run.active()
    run.stop(standby)
    after = run.scenario.registers["takeover_after"]
    if not run.until(lambda: run.said(waiting=True)["unprotected"], 2 * after + 200):
        run.wrong.append(f"the active does not say that it is unprotected {2 * after} cycles after its standby stopped")
    # captures show what it does alone when a heartbeat has said it
    run.wait(run.scenario.registers["hb_interval"] + run.rng.randrange(1, 1000))
    _second(run)


@_failure("the standby and the active stop before either could know", "ends")
def standby_and_active(run):
    """A true double failure; no register can tell of it."""
    run.stop(1 - run.active())
    run.wait(run.rng.randrange(1000))
    run.stop_active()
    _nobody(run)


@_failure("the active stops, the standby within 300 clocks of its takeover", "ends")
def standby_during(run):
    """The standby dies shortly before or after it becomes the active."""
    unit = run.active()
    heard = run.seen(unit, HEARTBEAT, 0) or run.sim.cycle
    run.stop_active()
    due = heard + run.scenario.registers["takeover_after"] + run.rng.randrange(-300, 300)
    run.wait(max(1, due - run.sim.cycle))
    run.stop(1 - unit)
    _nobody(run)


@_failure("the active stops, and the standby after it has taken over", "ends")
def standby_after(run):
    """The survivor dies while it is alone."""
    run.stop_active()
    run.expect_takeover()
    run.wait(run.rng.randrange(50, 3000))
    _second(run)


def _second(run):
    """Stop the unit that is alone, which must say so, and switch one on."""
    says = run.said()
    if says["protected"] or not says["unprotected"]:
        run.wrong.append(f"the active is alone and does not say that it is unprotected: {says}")
    run.stop_active()
    _nobody(run)


def _nobody(run):
    """Neither unit runs; the operator switches one of them on after a while, with the other one off the networks."""
    run.lose_both()
    run.wait(run.rng.randrange(500, 3000))
    unit = run.rng.randrange(2)
    run.switch_on(unit, alone=True)
    if unit == 1:                       # unit 1 starts as the standby
        run.sim.detector(unit)
        run.wait(3000)
        run.sim.detector(unit, False)


@_failure("the standby alone stops and comes back; the active goes on", "survives", 2)
def standby_dies(run):
    """Policy `continue`."""
    _single(run)
    unit = run.active()
    epoch = run.sim.status()[f"epoch_{unit}"]
    run.stop(1 - unit)
    away = run.rng.randrange(200, 6000)
    run.wait(away)
    if away > 2 * run.scenario.registers["takeover_after"]:
        says = run.said()
        if not says["unprotected"] or says["protected"] or not says["emit_enable"]:
            run.wrong.append(f"the active does not go on alone, {away} cycles after its standby stopped: {says}")
    run.switch_on(1 - unit)
    run.protected_again()
    if run.active() != unit or run.sim.status()[f"epoch_{unit}"] != epoch:
        run.wrong.append("the active has changed although only the standby failed")


@_failure("the active stops, comes back, and the other one stops, within one retransmission timeout", "survives", 2)
def double(run):
    """A failure of each unit, with a rejoin between."""
    began = run.sim.cycle
    unit = run.stop_active()
    run.expect_takeover()
    run.switch_on(unit)
    if not run.protected_again(15_000):
        return
    run.notes["double_cycles"] = run.sim.cycle - began
    if run.notes["double_cycles"] > 10_000 and run.setting.link == "none":
        run.wrong.append(f"{run.notes['double_cycles']} cycles between two failures: a retransmission timeout is over")
    run.stop_active()
    run.notes["double"] = 1
    run.expect_takeover()


def _walk(run):
    """Stop the active, switch it on, and go to the middle of its rejoin; return (new active, the other)."""
    unit = run.stop_active()
    run.expect_takeover()
    run.switch_on(unit)
    on = run.sim.cycle
    run.until(lambda: run.seen(unit, JOIN, on) is not None, 10_000, 10)
    run.wait(run.rng.randrange(1, WALK))
    return 1 - unit, unit


@_failure("a rejoin is under way, and the active stops", "by its word", 2)
def walk_active_dies(run):
    """What the standby has by then goes on, the rest is refused."""
    _walk(run)
    run.stop_active()
    run.notes["double"] = 1
    run.expect_takeover()


@_failure("a rejoin is under way, and the unit that joins stops", "survives")
def walk_standby_dies(run):
    """The active goes on alone."""
    active, joining = _walk(run)
    run.stop(joining)
    run.wait(3 * run.scenario.registers["takeover_after"])
    says = run.said()
    if run.active() != active or not says["emit_enable"] or says["protected"]:
        run.wrong.append(f"the active does not go on alone after a rejoin that broke off: {says}")


@_failure("a rejoin is under way, the unit that joins starts again; then the active stops", "survives")
def walk_restarts(run):
    """A resynchronization that begins anew ends as well."""
    _, joining = _walk(run)
    run.stop(joining)
    run.wait(run.rng.randrange(1, 1000))
    run.switch_on(joining)
    if run.protected_again():
        run.stop_active()
        run.notes["double"] = 1
        run.expect_takeover()


def _around(run, fail):
    """Stop the active, and fail(run) before or after it by at most 2500 cycles."""
    first = run.rng.random() < 0.5
    if first:
        fail()
        run.wait(run.rng.randrange(1, 2500))
    run.stop_active()
    if not first:
        run.wait(run.rng.randrange(1, 2500))
        fail()
    run.expect_takeover()


@_failure("the client falls silent, and the active stops", "peer gone")
def client_silent(run):
    """The client's cable is cut."""
    _around(run, lambda: run.silence("client"))


@_failure("the server falls silent, and the active stops", "peer gone")
def server_silent(run):
    """The server's cable is cut."""
    _around(run, lambda: run.silence("server"))


@_failure("the client forgets the connection and answers RST, and the active stops", "peer gone")
def client_restarts(run):
    """The client's host has been restarted."""
    _around(run, lambda: run.restart("client"))


@_failure("the server forgets the connection and answers RST, and the active stops", "peer gone")
def server_restarts(run):
    """The server's host has been restarted."""
    _around(run, lambda: run.restart("server"))


def _cut(run, sender):
    """Cut what `sender` sends for longer than a takeover takes; there is one master all the time."""
    _single(run)
    run.cut_link(sender)
    run.watch_roles(run.rng.randrange(3000, 8000))
    run.mend_link(sender)
    run.watch_roles(3000)
    run.protected_again()


@_failure("the sync link is cut from the active to the standby for a while", "survives", 2)
def cut_to_standby(run):
    """No heartbeat and no record arrives; echoes would."""
    _cut(run, run.active())


@_failure("the sync link is cut from the standby to the active for a while", "survives", 2)
def cut_to_active(run):
    """No echo and no confirmation arrives."""
    _cut(run, 1 - run.active())


def _lose_heartbeats(run, count):
    """Lose `count` heartbeats in a row, with what else the active sends meanwhile."""
    unit, interval = run.active(), run.scenario.registers["hb_interval"]
    now = run.now()
    run.until(lambda: run.seen(unit, HEARTBEAT, now) is not None, 2 * interval, 20)
    _single(run)
    heard = run.seen(unit, HEARTBEAT, now) or run.now()
    run.cut_link(unit)
    run.watch_roles(heard + count * interval + interval // 2 - run.now())
    run.mend_link(unit)
    run.watch_roles(2000)
    return unit


COUNTED = ("failover_takeover", "failover_alone", "failover_excluded", "failover_fenced")


def _role_changes(run):
    """Return how often roles have changed, by counter of both units."""
    wanted = [(unit, name) for unit in (0, 1) for name in COUNTED]
    return {f"{name} of unit {unit}": value for (unit, name), value in zip(wanted, run.ask(*wanted))}


def _k(run):
    """Return how many heartbeats in a row a takeover takes."""
    return run.scenario.registers["takeover_after"] // run.scenario.registers["hb_interval"]


@_failure("one heartbeat less than a takeover takes is lost, in a row", "survives")
def heartbeats_few(run):
    """Nothing may happen; a link that loses frames of its own may add one."""
    before = _role_changes(run)
    _lose_heartbeats(run, _k(run) - 1)
    after = _role_changes(run)
    if not LINKS[run.setting.link].losing and before != after:
        changed = [f"{name} {before[name]} -> {count}" for name, count in after.items() if count != before[name]]
        run.wrong.append(f"{_k(run) - 1} heartbeats lost, and {', '.join(changed)}")


@_failure("as many heartbeats as a takeover takes are lost, in a row", "survives")
def heartbeats_enough(run):
    """The standby takes over, or the active goes on alone; never both. A frame from before the cut may come in it."""
    before = _role_changes(run)
    _lose_heartbeats(run, _k(run))
    if before == _role_changes(run) and not LINKS[run.setting.link].late:
        run.wrong.append(f"{_k(run)} heartbeats lost, and nothing has happened")
    run.protected_again()
