"""The program when a standby joins in the middle of a connection, and when a standby forgets what it knows."""
import pytest

from spps.layouts.event import EventKind, TimerCause
from spps.layouts.flowstate import SHARED, ConnFlag
from spps.layouts.message import MessageKind
from spps.ucode.names import STRUCTS
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer

SIZES = {"up": 6000, "down": 4000}


def taken_over(at, **kw):
    """A transfer whose active unit was killed after event `at`; unit 1 is active and alone."""
    transfer = Transfer(**SIZES | kw)
    transfer.pair.kill_at = at, "lost"
    transfer.pair.run(until=lambda: transfer.pair.units[1].active, limit=100_000)
    return transfer


def run_events(pair, unit, count):
    """Run until the unit has had `count` more events, or nothing is left."""
    last = unit.events + count
    pair.run(until=lambda: unit.events >= last, limit=100_000)


def protected(unit, conn):
    return unit.flowstates[conn][0] >> ConnFlag.PROTECTED & 1


def test_every_connection_in_use_writes_a_full_record():
    transfer = taken_over(25)
    unit = transfer.pair.active
    issued, conns = unit.issued, sorted(unit.in_use)
    assert conns and not protected(unit, conns[0])
    fresh = transfer.pair.rejoin()
    transfer.pair.run(until=lambda: fresh.in_use, limit=100)
    assert protected(unit, conns[0]) and unit.issued >= issued + 1 and sorted(fresh.in_use) == conns
    assert fresh.keys == unit.keys
    transfer.run().check()


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_survives_a_second_kill_after_every_event_of_the_unit_that_took_over(close):
    """Rejoin at the takeover; then the other unit dies after each of its events, up to the end of TIME-WAIT."""
    for first in (9, 14, 20):
        probe = taken_over(first, close=close)
        begin = probe.pair.units[1].events
        probe.pair.rejoin()
        probe.run().check()
        failures = []
        for k in range(1, probe.pair.units[1].events - begin + 1):
            transfer = taken_over(first, close=close)
            pair = transfer.pair
            fresh = pair.rejoin()
            run_events(pair, pair.units[1], k)
            # what the standby has no full record of would be refused
            pair.run(until=lambda fresh=fresh, pair=pair: fresh.in_use == pair.units[1].in_use, limit=100_000)
            pair.kill("lost")
            problems = transfer.run(limit=100_000).problems()
            if problems:
                failures.append(f"killed after events {first} and {k}: " + "; ".join(problems))
        assert not failures, "\n".join(failures)


@pytest.mark.parametrize("wait", range(0, 40, 3))
def test_standby_may_join_at_any_event(wait):
    transfer = taken_over(12)
    run_events(transfer.pair, transfer.pair.units[1], wait)
    fresh = transfer.pair.rejoin()
    transfer.run().check()
    assert not fresh.in_use and not fresh.keys


def test_a_connection_that_was_protected_before_writes_its_record_anew():
    """The standby dies and comes back: it knows nothing of a connection that the flags call protected."""
    transfer = Transfer(**SIZES)
    pair = transfer.pair
    run_events(pair, pair.units[0], 25)
    unit = pair.units[0]
    conn, = unit.in_use
    pair.lose_standby()
    run_events(pair, unit, 6)
    assert protected(unit, conn)
    fresh = pair.rejoin()
    pair.run(until=lambda: fresh.in_use, limit=100)
    pair.kill("lost")
    transfer.run().check()


def test_nothing_of_a_connection_leaves_before_its_record_is_taken():
    """The ring has no room when the standby joins."""
    transfer = taken_over(20)
    pair, unit = transfer.pair, transfer.pair.active
    unit.sync_ready = 0
    pair.rejoin()
    before, issued = len(unit.segments), unit.issued
    run_events(pair, unit, 5)
    assert len(unit.segments) == before and unit.issued == issued
    unit.sync_ready = 1
    transfer.run().check()


def kick(unit, conn):
    """Give a KICK event; returns the messages of the program."""
    return unit.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.KICK.value, "conn": conn,
                     "seq": unit.now()}).messages


@pytest.mark.parametrize("events", range(2, 60, 4))
def test_standby_forgets_a_connection_that_it_has_from_records(events):
    transfer = Transfer(**SIZES, close="both")
    pair = transfer.pair
    run_events(pair, pair.units[0], events)
    standby = pair.units[1]
    standby.protect = 0
    for conn in sorted(standby.in_use):
        kick(standby, conn)
    assert not standby.in_use and not standby.keys and not standby.gate and not standby.segments


@pytest.mark.parametrize("events", range(1, 60, 3))
def test_unit_that_lost_its_role_forgets_its_own_connections(events):
    """In any state of handshake, transfer and end; socket memory is given back, no peer hears of it."""
    transfer = Transfer(**SIZES, close="both")
    pair = transfer.pair
    run_events(pair, pair.units[0], events)
    unit = pair.units[0]
    unit.active = unit.protect = 0
    unit.open_gate()
    before = len(unit.segments)
    for conn in sorted(unit.in_use):
        kinds = {MessageKind(message[0] & 0xFF) for message in kick(unit, conn)}
        assert MessageKind.OUTPUT not in kinds and MessageKind.SYNC not in kinds
    assert not unit.in_use and not unit.keys and len(unit.segments) == before
    assert all(free == count for free, count in zip(unit.memory.free, unit.params.pool_pages))


def test_kick_of_a_connection_that_is_over_has_no_effect():
    transfer = Transfer(**SIZES).run()
    unit = transfer.pair.units[0]
    unit.active = 0
    assert [MessageKind(message[0] & 0xFF) for message in kick(unit, 0)] == []


def test_an_endpoint_tells_that_it_is_covered_when_a_standby_joins():
    """It has no record, so that the standby would wait for one for ever."""
    client = RawClient(FunctionalPair(config={"mode": 0}), port=7)
    client.open()
    unit = client.pair.units[0]
    conn, = unit.in_use
    assert conn in unit.covered
    unit.covered.clear()
    unit.joins += 1
    kick(unit, conn)
    assert conn in unit.covered


def test_a_standby_that_is_gone_before_the_event_gets_no_record():
    """The count of joins is read before `protect`, which has fallen meanwhile."""
    transfer = taken_over(20)
    unit = transfer.pair.active
    conn, = unit.in_use
    unit.joins += 1
    issued = unit.issued
    kick(unit, conn)
    assert unit.issued == issued and not protected(unit, conn)
    transfer.pair.rejoin()
    transfer.run().check()


def test_an_event_of_a_connection_that_is_over_writes_no_record():
    transfer = Transfer(**SIZES).run()
    unit = transfer.pair.units[0]
    unit.joins += 1
    assert [MessageKind(message[0] & 0xFF) for message in kick(unit, 0)] == []


def test_a_connection_whose_core_was_lost_goes_on_when_a_standby_joins():
    transfer = taken_over(20)
    unit = transfer.pair.active
    conn, = unit.in_use
    unit.restarts.add(conn)
    fresh = transfer.pair.rejoin()
    transfer.pair.run(until=lambda: fresh.in_use, limit=100)
    transfer.run().check()


def test_a_connection_in_its_handshake_is_recorded_when_that_is_over():
    transfer = Transfer(**SIZES)
    unit = transfer.pair.units[0]
    transfer.pair.run(until=lambda: unit.in_use, limit=1000)
    conn, = unit.in_use
    unit.joins += 1
    kick(unit, conn)
    assert unit.issued == 0
    transfer.run().check()


def test_a_connection_on_the_fast_path_writes_its_record():
    transfer = Transfer(up=60_000, down=0)
    pair = transfer.pair
    unit = pair.units[0]
    ready = 1 << STRUCTS["Event"]["plain"].lsb - STRUCTS["Event"]["new"].lsb
    pair.run(until=lambda: unit.events > 40 and unit.in_use
             and unit.flowstates[0][SHARED["misc"].word] & ready, limit=100_000)
    assert unit.in_use == {0}
    pair.lose_standby()
    fresh = pair.rejoin()
    pair.run(until=lambda: fresh.in_use, limit=100)
    pair.kill("lost")
    transfer.run().check()


def test_a_standby_forgets_an_endpoint():
    client = RawClient(FunctionalPair(config={"mode": 0}), port=7)
    client.open()
    unit = client.pair.units[0]
    unit.active = 0
    kick(unit, 0)
    assert not unit.in_use and not unit.keys and not client.settle()
