"""The event lines of `spps live`."""

from spps_sim.live.watch import PairEvent, PairWatch
from tests.live.env_live import Env


def watched(env):
    events = []
    watch = PairWatch(env, events.append, every=1000, clock=lambda: 12.5)
    return watch, events


def happened(watch, events, cycles=1000):
    """Texts of the events since the last call, after `cycles`."""
    watch.testbed.sim.step(cycles)
    watch.look()
    texts = [f"{event.unit} {event.what}" for event in events]
    events.clear()
    return texts


def test_nothing_is_said_while_nothing_happens():
    watch, events = watched(Env())
    assert happened(watch, events) == []


def test_kill_and_takeover():
    env = Env()
    watch, events = watched(env)
    env.kill()
    cycle = env.sim.cycle + 500
    env.sim.step(500)
    env.role(3)
    env.pair.values[1] |= {"unprotected": 1}
    watch.look()
    assert [(e.unit, e.what.split(":")[0]) for e in events] == [
        (0, "killed"),
        (1, "takes over"),
        (1, "connections are unprotected"),
    ]
    assert events[1].cycle == cycle and events[1].what == "takes over: active, epoch 2" and events[1].time == 12.5
    events.clear()
    assert happened(watch, events) == []


def test_the_end_of_the_last_unit_says_what_it_means():
    env = Env()
    watch, events = watched(env)
    env.kill("0")
    env.role(2)
    happened(watch, events)
    env.freeze("1")
    assert happened(watch, events) == ["1 frozen; no unit runs: `spps ctl thaw` lets a frozen unit run again"]
    env.thaw()
    happened(watch, events)
    env.kill("1")
    assert happened(watch, events) == ["1 killed; no unit runs: connections are lost"]


def test_freeze_takeover_thaw_fence():
    env = Env()
    watch, events = watched(env)
    env.freeze("0")
    assert happened(watch, events) == ["0 frozen"]
    env.role(3)
    env.pair.values[1] |= {"unprotected": 1}
    assert [text.split(":")[0] for text in happened(watch, events)] == [
        "1 takes over",
        "1 connections are unprotected",
    ]
    env.thaw()
    assert happened(watch, events, 10) == ["0 thawed"]
    env.role(2)
    env.pair.values[0] |= {"fenced": 1, "lease_valid": 0, "peer_present": 0, "protect": 0, "joined": 0}
    assert happened(watch, events) == ["0 is no longer active", "0 fenced: the other unit has taken over from it"]
    env.pair.values[0] |= {"fenced": 0, "joined": 1}
    env.pair.values[1] |= {"unprotected": 0, "protect": 1, "peer_present": 1, "lease_valid": 1}
    assert happened(watch, events) == [
        "0 has joined as the standby",
        "0 no longer fenced",
        "1 connections are protected: unit 0 confirms every record",
    ]


def test_the_standby_is_lost_and_comes_back():
    env = Env()
    watch, events = watched(env)
    env.pair.values[0] |= {"lease_valid": 0, "peer_present": 0}
    (text,) = happened(watch, events)
    assert text.startswith("0 lease lost; connections are stalled: unit 1 does not answer")
    env.pair.values[0] |= {"lease_valid": 1, "peer_present": 1}
    assert happened(watch, events) == ["0 connections are protected: unit 1 confirms every record"]


def test_a_unit_that_is_switched_on_joins_and_gets_the_records():
    env = Env()
    watch, events = watched(env)
    env.kill("0")
    env.role(2)
    env.pair.values[1] |= {"unprotected": 1, "joined": 0}
    assert len(happened(watch, events)) == 4
    env.revive(0)
    env.pair.values[0] |= {"active": 0, "joined": 0}
    assert happened(watch, events) == ["0 switched on"]
    env.pair.values[0] |= {"joined": 1}
    env.pair.values[1] |= {"unprotected": 0, "protect": 1, "peer_present": 1, "joined": 1, "resync": 1, "exposed": 7}
    assert happened(watch, events) == [
        "0 has joined as the standby",
        "1 connections are being protected: unit 0 has joined and still lacks the records of 7",
    ]
    env.pair.values[1] |= {"resync": 0, "exposed": 0}
    assert happened(watch, events) == ["1 connections are protected: unit 0 confirms every record"]


def test_registers_are_read_now_and_then_only():
    env = Env()
    watch, events = watched(env)
    env.pair.values[0] |= {"lease_valid": 0, "peer_present": 0}
    assert happened(watch, events, 100) == []
    assert len(happened(watch, events, 1000)) == 1


def test_a_full_table():
    env = Env()
    watch, events = watched(env)
    env.pair.values[0] |= {"in_use": 16}
    assert happened(watch, events) == ["0 connection table full: 16 of 16 in use"]
    env.pair.values[0] |= {"in_use": 15}
    assert happened(watch, events) == ["0 connection table no longer full: 15 of 16 in use"]


def test_a_line_has_wall_time_cycle_unit_and_event():
    line = str(PairEvent(0.25, 7, 1, "killed"))
    assert line[8:] == ".250 cycle 7: unit 1 killed" and line[2] == line[5] == ":"
