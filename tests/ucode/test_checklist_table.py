"""Checklist, the table of connections: a full one, tuples that come again in TIME-WAIT, a SYN right behind a RST."""
import pytest

from spps.layouts.event import EventKind
from spps.layouts.flowstate import LEG, LEG_BASE, SHARED, ConnFlag
from spps_sim.checker.wire import ACK, FIN, RST, SYN
from spps_sim.model.functional_pair import VIP_0, FunctionalPair
from spps_sim.model.tcp_legs import PASSIVE, Leg
from spps_sim.peers.frames import ip_number, timestamp_option

SND_MAX = LEG_BASE + LEG["snd_max"].word


def in_time_wait(**kw):
    """A client's leg whose two FINs are acknowledged, ours first."""
    leg = Leg("client", far=lambda c, what: c.close() if what == "fin" else None, **kw)
    leg.open()
    leg.send(payload=b"request")
    leg.nxt += 7
    leg.close()
    assert leg.state[0] >> ConnFlag.TIME_WAIT & 1 and leg.unit.time_wait == [0]
    return leg


def again(leg, seq, **kw):
    """A SYN of the same tuple; what comes back."""
    leg.iss = seq & 0xFFFFFFFF
    leg.syn(**kw)
    return leg.settle()


def works(leg, answer):
    """The new connection is all there is, and carries data; its ISN is later than every number of the old one."""
    assert answer.flags == SYN | ACK and answer.ack == leg.iss + 1 & 0xFFFFFFFF, answer
    assert (answer.seq - leg.rcv) & 0xFFFFFFFF < 1 << 31
    leg.rcv, leg.nxt = answer.seq + 1 & 0xFFFFFFFF, leg.iss + 1 & 0xFFFFFFFF
    leg.finish()
    leg.settle()
    leg.send(payload=b"and again")
    leg.settle()
    assert bytes(leg.other.received) == b"and again"
    unit = leg.unit
    assert len(unit.in_use) == 1 and len(unit.keys) == 2 and not unit.time_wait and not unit.waiting


# --- TIME-WAIT

@pytest.mark.parametrize("distance, opens", [(1, True), (1000, True), (1 << 30, True), (0, False), (-1, False),
                                             (-5000, False), (-(1 << 30), False)])
def test_syn_beyond_the_numbers_of_a_connection_in_time_wait_opens_at_once(distance, opens):
    leg = in_time_wait()
    got = again(leg, leg.nxt + distance)
    if opens:
        works(leg, got[0])
    else:
        assert [(s.flags, s.seq) for s in got] == [(ACK, leg.rcv)] and leg.state[0] >> ConnFlag.TIME_WAIT & 1


@pytest.mark.parametrize("later, distance, opens", [(1, -5000, True), (1000, -5000, True), (1000, 5000, True),
                                                    (0, 5000, True), (0, -5000, False),
                                                    (-1, 5000, False), (-1000, 5000, False)])
def test_syn_with_a_later_timestamp_opens_at_once_and_one_with_an_earlier_never(later, distance, opens):
    """RFC 6191 §2: the number counts only if the timestamps are equal."""
    leg = in_time_wait(timestamps=True, options=timestamp_option(1, 0))
    leg.options = b""
    last = leg.pair.time
    leg.val = last
    leg.send()                                  # RCV.NXT: acceptable, nothing to answer, sets TS.Recent
    leg.settle()
    leg.val = last + later
    got = again(leg, leg.nxt + distance)
    if opens:
        leg.val = last + later
        works(leg, got[0])
        assert 8 in got[0].options
    else:
        assert [s.flags for s in got] == [ACK] and leg.state[0] >> ConnFlag.TIME_WAIT & 1


@pytest.mark.parametrize("distance, opens", [(5000, True), (-5000, False)])
def test_number_decides_when_the_syn_has_no_timestamp(distance, opens):
    leg = in_time_wait(timestamps=True, options=timestamp_option(1, 0))
    leg.timestamps, leg.options = False, b""
    got = again(leg, leg.nxt + distance)
    if opens:
        works(leg, got[0])
    else:
        assert leg.state[0] >> ConnFlag.TIME_WAIT & 1 and not any(s.flags & SYN for s in got)


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("distance, opens", [(5000, True), (-5000, False)])
def test_number_decides_after_a_takeover(timestamps, distance, opens):
    leg = in_time_wait(timestamps=timestamps, options=timestamp_option(1, 0) if timestamps else b"")
    leg.pair.kill("record")
    leg.settle()
    leg.options = b""
    assert leg.unit.time_wait == [0]
    got = again(leg, leg.nxt + distance)
    if opens:
        works(leg, got[0])
    else:
        assert [s.flags for s in got] == [ACK] and leg.state[0] >> ConnFlag.TIME_WAIT & 1


def test_a_timer_event_before_its_time_does_not_end_time_wait():
    leg = in_time_wait()
    leg.unit.run({"kind": EventKind.TIMER.value, "subtype": 0, "conn": 0, "seq": leg.unit.now()})
    assert leg.settle() == [] and leg.unit.time_wait == [0]


@pytest.mark.parametrize("flags", [SYN | FIN, SYN | RST, SYN | ACK])
def test_only_a_pure_syn_opens_in_time_wait(flags):
    leg = in_time_wait()
    leg.send(flags, seq=leg.nxt + 1000)
    assert not any(s.flags & SYN for s in leg.settle()) and leg.state[0] >> ConnFlag.TIME_WAIT & 1


def test_syn_on_the_server_leg_in_time_wait_is_challenged():
    leg = Leg("server", far=lambda c, what: c.close() if what == "fin" else None)
    leg.open()
    leg.close()
    leg.send(SYN, seq=leg.nxt + 1000, ack=0)
    assert [s.flags for s in leg.settle()] == [ACK] and leg.state[0] >> ConnFlag.TIME_WAIT & 1


@pytest.mark.parametrize("takeover", [None, "lost", "record"])
def test_a_tuple_is_used_again_many_times_and_every_isn_is_later(takeover):
    """Each connection carries more than the ISN clock moves on, so that only the floor keeps the numbers apart."""
    leg = in_time_wait()
    isns = []
    for n in range(6):
        got = again(leg, leg.nxt + 1)
        works(leg, got[0])
        isns.append(got[0].seq)
        leg.nxt += 9
        leg.far_write(bytes(6000))
        for _ in range(8):
            leg.take(leg.settle(30))
            leg.send()
        leg.close()
        assert leg.unit.flowstates[leg.unit.time_wait[0]][0] >> ConnFlag.TIME_WAIT & 1
        if takeover and n == 2:
            leg.pair.kill(takeover)
            leg.settle(100)
    assert all((b - a) & 0xFFFFFFFF < 1 << 31 for a, b in zip(isns, isns[1:]))


def test_floor_of_the_isn_lies_beyond_a_connection_that_was_faster_than_the_clock():
    leg = in_time_wait()
    state = leg.unit.flowstates[0]
    state[SND_MAX] = leg.rcv = leg.rcv + 50_000_000 & 0xFFFFFFFF
    got = again(leg, leg.nxt + 1)
    assert got[0].seq == leg.rcv + 65537 & 0xFFFFFFFF
    works(leg, got[0])


# --- a SYN that meets a connection which is over

def stale(unit, leg, conn=0):
    """The event of a SYN that was looked up before the connection ended."""
    return {"kind": EventKind.TCP.value, "conn": conn, "leg": 0, "iface": 0, "src_ip": leg.ip, "dst_ip": leg.dst[0],
            "src_port": leg.sport, "dst_port": leg.dst[1], "seq": leg.iss, "window": 8192, "tcp_flags": SYN,
            "protocol": 6, "src_mac_hi": 0x0200, "src_mac_lo": 2}


@pytest.mark.parametrize("name", PASSIVE)
@pytest.mark.parametrize("payload", [b"", b"data on it"])
def test_syn_that_was_on_its_way_when_a_reset_ended_the_connection_opens_a_new_one(name, payload):
    leg = Leg(name)
    leg.open()
    leg.send(RST)
    leg.settle()
    assert leg.gone()
    leg.iss += 7777
    event = stale(leg.unit, leg)
    if payload:
        leg.unit.scratch[60001] = payload
        event |= {"payload_len": len(payload), "scratch_ref": 60001}
    leg.unit.run(event)
    answer, = leg.settle()
    assert answer.flags == SYN | ACK and answer.ack == leg.iss + 1
    assert (answer.seq - leg.rcv) & 0xFFFFFFFF < 1 << 31


@pytest.mark.parametrize("flags, answers", [(ACK, [RST]), (RST, []), (SYN | ACK, [RST]), (FIN | ACK, [RST]),
                                            (SYN | FIN, [RST | ACK])])
def test_other_segments_that_were_on_their_way_are_answered_as_by_a_closed_port(flags, answers):
    leg = Leg("client")
    leg.open()
    leg.send(RST)
    leg.settle()
    leg.unit.run(stale(leg.unit, leg) | {"tcp_flags": flags, "ack": leg.rcv + 900})
    assert [(s.flags, s.seq) for s in leg.settle()] == [(rst, leg.rcv + 900 if flags & ACK else 0) for rst in answers]
    assert leg.gone()


def test_syn_behind_a_reset_waits_while_the_record_of_the_end_has_to_wait():
    leg = Leg("client")
    leg.open()
    leg.unit.sync_ready = 0
    leg.send(RST)
    leg.settle(10)
    leg.iss += 7777
    leg.syn()
    leg.syn()                                   # its sender repeats it
    assert leg.settle(10) == [] and len(leg.unit.waiting) == 2
    leg.unit.sync_ready = 1
    answer, = leg.settle()
    assert answer.flags == SYN | ACK and len(leg.unit.in_use) == 1 and not leg.unit.waiting


@pytest.mark.parametrize("define, number, faster", [("BROKEN_ISN_FLOOR", 1, 50_000_000), ("BROKEN_SYN_LOST", 1, 0),
                                                    ("BROKEN_REOPEN", -5000, 0)])
def test_defect_is_caught(define, number, faster):
    for defines, caught in (([], False), ([define], True)):
        leg = in_time_wait(defines=defines)
        leg.unit.flowstates[0][SND_MAX] = leg.rcv = leg.rcv + faster & 0xFFFFFFFF
        got = again(leg, leg.nxt + number)
        try:
            assert [s.flags for s in got] == [SYN | ACK if number > 0 else ACK]
            if number > 0:
                works(leg, got[0])
        except AssertionError:
            assert caught
        else:
            assert not caught


# --- a full table

def full(*, time_wait=2, established=2, **kw):
    """As many connections as there is place for; the first ones in TIME-WAIT."""
    pair = FunctionalPair(connections=time_wait + established, config={"msl": 60_000}, **kw)
    pair.client.config.msl = pair.server.config.msl = 10
    pair.server.listen(80, lambda c, what: c.close() if what == "fin" else None)
    made = []
    for n in range(time_wait + established):
        made.append(pair.client.connect(VIP_0, 80, local_port=30_000 + n))
        pair.run(until=lambda: made[-1].state.name == "ESTABLISHED")
        if n < time_wait:
            made[-1].close()
            pair.run(until=lambda n=n: len(pair.active.time_wait) > n)
    assert len(pair.active.in_use) == time_wait + established
    return pair, made


def more(pair, port=40_000):
    made = pair.client.connect(VIP_0, 80, local_port=port)
    end = pair.time + 60
    pair.at(60, lambda: None)
    pair.run(until=lambda: pair.time >= end)
    return made


@pytest.mark.parametrize("takeover", [False, True])
def test_full_table_gives_up_the_oldest_in_time_wait(takeover):
    pair, made = full()
    if takeover:
        pair.kill("record")
        pair.run(until=lambda: pair.active)
        pair.units[0].time_wait = []
    unit = pair.active
    assert unit.time_wait == [0, 1]
    for n in range(2):
        assert more(pair, 40_000 + n).state.name == "ESTABLISHED"
        assert unit.recycled == n + 1 and unit.time_wait == [0, 1][n + 1:] and unit.table_full == 0
    assert len(unit.in_use) == 4 and all(c.state.name == "ESTABLISHED" for c in made[2:])


@pytest.mark.parametrize("silent", [0, 1])
def test_full_table_without_time_wait_refuses(silent):
    pair, made = full(time_wait=0, established=4, refuse_silently=silent)
    new = more(pair)
    unit = pair.active
    assert new.was("refused") == (not silent) and (new.state.name == "SYN_SENT") == bool(silent)
    assert unit.table_full >= 1 and unit.recycled == 0
    made[0].write(b"alive")
    pair.run(until=lambda: any(bytes(c.received) == b"alive" for c in pair.server.connections.values()))
    assert all(c.state.name == "ESTABLISHED" for c in made)


def test_a_connection_is_not_given_up_before_its_record_is_taken():
    pair, _ = full(time_wait=1, established=1)
    unit = pair.active
    unit.sync_ready = 0
    new = pair.client.connect(VIP_0, 80, local_port=40_000)
    end = pair.time + 20
    pair.at(20, lambda: None)
    pair.run(until=lambda: pair.time >= end)
    assert new.state.name == "SYN_SENT" and len(unit.waiting) == 1
    unit.sync_ready = 1
    pair.run(until=lambda: new.state.name == "ESTABLISHED", limit=100)


def test_a_syn_that_waited_reaches_a_connection_whose_timer_is_due_as_well():
    """The end of the first connection lets the SYN reach the second one, whose timer is off then."""
    pair, _ = full(time_wait=2, established=0)
    unit = pair.active
    unit.waiting.append({"kind": EventKind.TCP.value, "src_ip": pair.client.ip, "dst_ip": ip_number(VIP_0),
                         "src_port": 30_001, "dst_port": 80, "iface": 0, "tcp_flags": SYN, "window": 8192, "seq": 1,
                         "protocol": 6})
    unit.flowstates[0][SHARED["deadline"].word] = unit.now()
    unit.timers = {0: unit.now(), 1: unit.now()}
    unit.tick()
    assert len(unit.in_use) == 1 and not unit.waiting


def test_a_connection_that_is_not_in_time_wait_is_never_given_up():
    leg = Leg("client")
    leg.open()
    leg.unit.run({"kind": EventKind.TIMER.value, "subtype": 2, "conn": 0, "seq": leg.unit.now()})
    leg.send(payload=b"alive")
    leg.settle()
    assert bytes(leg.other.received) == b"alive"
