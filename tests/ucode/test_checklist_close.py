"""Checklist, closing: items 56 to 63 of hdl/spps/ucode/CHECKLIST.md, on every leg they concern; cycles."""
import pytest

from spps.layouts.event import EventKind
from spps.layouts.flowstate import ConnFlag
from spps_sim.checker.wire import ACK, FIN, RST, SYN
from spps_sim.model.functional_pair import VIP_0, FunctionalPair
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import Transfer

LEGS = pytest.mark.parametrize("name", NAMES)
PROXIED = pytest.mark.parametrize("name", ["client", "server"])
PSH = 8


def opened(name, **kw):
    leg = Leg(name, **kw)
    leg.open()
    return leg


def both_closed(name, **kw):
    """Our FIN first, then that of the far end; both acknowledged."""
    leg = opened(name, far=lambda c, what: c.close() if what == "fin" else None, **kw)
    leg.close()
    return leg


@LEGS
def test_fin_counts_only_when_the_gaps_before_it_are_filled(name):
    leg = opened(name)
    leg.send(FIN | ACK, seq=leg.nxt + 100, payload=b"end")
    assert leg.settle()[-1].ack == leg.nxt
    leg.send(payload=bytes(100))
    got = leg.settle()
    assert got[-1].ack == leg.nxt + 104 and leg.far_received() == (103 if leg.other else 104)


@PROXIED
def test_fin_is_acknowledged_only_when_the_far_end_has_acknowledged_the_relayed_one(name):
    far = {"client": 1, "server": 0}[name]
    leg = opened(name)
    leg.pair.lose = lambda n, link, to_peer, data: link == far and to_peer
    leg.send(FIN | ACK)
    assert all(s.ack == leg.nxt for s in leg.settle(150))
    leg.pair.lose = None
    assert leg.settle(2000)[-1].ack == leg.nxt + 1


@PROXIED
def test_half_closed_connection_carries_data_the_other_way(name):
    leg = opened(name)
    leg.send(FIN | ACK)
    leg.nxt += 1
    assert leg.settle()[-1].ack == leg.nxt and leg.other.fin_taken
    leg.far_write(bytes(5000))
    for _ in range(4):
        leg.take(leg.settle())
        leg.send()
    leg.other.close()
    fin = leg.settle()[-1]
    assert fin.flags & FIN and fin.seq == leg.rcv


@PROXIED
def test_simultaneous_close(name):
    leg = opened(name)
    leg.other.close()
    leg.send(FIN | ACK)
    got = leg.settle(15)
    leg.nxt += 1
    leg.take(got)
    leg.settle()
    leg.send()
    leg.take(leg.settle())
    leg.send()
    leg.settle(100)
    assert leg.other.finished and leg.state[0] >> ConnFlag.TIME_WAIT & 1
    leg.settle(3000)
    assert leg.gone()


@PROXIED
@pytest.mark.parametrize("takeover", [False, True])
def test_fin_in_time_wait_is_acknowledged_again_also_after_a_takeover(name, takeover):
    leg = both_closed(name)
    assert leg.state[0] >> ConnFlag.TIME_WAIT & 1
    if takeover:
        leg.pair.kill("record")
        leg.settle()
    leg.send(FIN | ACK, seq=leg.nxt - 1)
    assert {(s.flags & ~PSH, s.ack) for s in leg.settle()} == {(ACK, leg.nxt)}
    leg.settle(4000)
    assert leg.gone()


@PROXIED
@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("distance, answers", [(0, 0), (8191, 0), (8192, 1), (8193, 1), (-2, 1)])
def test_ack_in_time_wait_is_answered_unless_it_is_in_the_window(name, takeover, distance, answers):
    leg = both_closed(name)
    if takeover:
        leg.pair.kill("record")
        leg.settle()
    leg.send(seq=leg.nxt + distance)
    assert [(s.flags, s.ack) for s in leg.settle()] == [(ACK, leg.nxt)] * answers


@PROXIED
def test_syn_and_fin_in_time_wait_do_not_restart_it(name):
    leg = both_closed(name)
    for _ in range(4):
        leg.settle(400)
        leg.send(SYN | FIN, seq=leg.nxt - 100)
    assert {(s.flags, s.ack) for s in leg.settle(1)} <= {(ACK, leg.nxt)}
    leg.settle(2 * leg.unit.config["msl"] - 1500)
    assert leg.gone()


@PROXIED
def test_reset_in_time_wait_changes_nothing(name):
    """RFC 1337."""
    leg = both_closed(name)
    leg.send(RST)
    assert leg.settle() == [] and leg.state[0] >> ConnFlag.TIME_WAIT & 1 and not leg.other.was("reset")
    leg.settle(4000)
    assert leg.gone()


@LEGS
def test_data_after_the_close_is_reset(name):
    leg = both_closed(name)
    leg.settle(3000)
    assert leg.gone()
    leg.send(payload=b"too late")
    reset, = leg.settle()
    assert (reset.flags, reset.seq) == (RST, leg.rcv)


@PROXIED
def test_data_after_its_own_fin_is_not_taken(name):
    leg = opened(name)
    leg.send(FIN | ACK)
    leg.nxt += 1
    leg.settle()
    leg.send(payload=b"more")
    assert leg.settle()[-1].ack == leg.nxt and leg.far_received() == 0


@LEGS
@pytest.mark.parametrize("kind", [EventKind.ICMP, EventKind.UDP, EventKind.FRAGMENT, EventKind.ERROR])
def test_an_event_of_a_reserved_kind_changes_nothing(name, kind):
    """The splitter drops and counts such frames, so that no core gets these events; the program ignores them anyway."""
    leg = opened(name)
    before = list(leg.state)
    for subtype in (0, 3, 11):
        leg.unit.run({"kind": kind.value, "subtype": subtype, "noflow": 1})
        leg.unit.scratch[60001] = b"quoted header"
        leg.unit.run({"kind": kind.value, "subtype": subtype, "noflow": 1, "payload_len": 13, "scratch_ref": 60001})
    assert leg.settle() == [] and leg.state == before and not leg.unit.scratch


def test_timer_event_that_comes_after_the_close_wakes_nothing():
    leg = opened("client", config={"keepalive": 3000})
    leg.send(RST)
    leg.settle()
    leg.unit.flowstates[0] = [0] * 128
    result = leg.unit.run({"kind": EventKind.TIMER.value, "conn": 0})
    assert not result.messages


# --- many connections

@pytest.mark.slow
@pytest.mark.parametrize("mode", ["proxy", "echo", "aborted"])
def test_a_thousand_cycles_of_opening_and_closing_leave_nothing(mode):
    pair = FunctionalPair(config={"msl": 50, "mode": int(mode != "echo")}, standby=mode != "echo", half_open_limit=4)
    pair.client.config.msl = pair.server.config.msl = 50
    done = []

    def server(connection, what):
        if what == "established":
            connection.write(b"welcome")
        if what == "fin":
            connection.close()
    pair.server.listen(80, server)

    def client(connection, what):
        if what == "established":
            connection.write(b"request")
            if mode != "aborted":
                connection.close()
        if what == "data" and mode == "aborted" and connection.state.name == "ESTABLISHED":
            connection.abort()
        if what in ("fin", "abort"):
            done.append(connection)

    def over():
        return all(c.state.name in ("CLOSED", "TIME_WAIT") for c in running)
    running = []
    for n in range(0, 1000, 4):
        running = [pair.client.connect(VIP_0, 7 if mode == "echo" else 80, on_event=client, local_port=20_000 + n + i)
                   for i in range(4)]
        pair.run(until=over)
        pair.client.connections.clear()
        pair.client.past.clear()
        del pair.capture[:]
    assert len(done) == 1000
    pair.run()                                  # until nothing is left to happen
    for unit in pair.units:
        assert not (unit.in_use or unit.half_open or unit.keys or unit.scratch or unit.timers or unit.gate)
    assert pair.units[0].half_open_refused == 0


# --- sequence numbers wrap

def wrapping(offset, **kw):
    """A two-way transfer whose four streams begin `offset` bytes before the wrap."""
    probe = Transfer(up=100, down=100, peer_iss=1).run()
    isn = {leg: next(o.seq for o in probe.pair.units[0].segments if o.iface == leg and o.tcp_flags & SYN)
           for leg in (0, 1)}
    found = []
    for leg in (0, 1):
        settings = {"up": 4000, "down": 3000, "close": "both"} | kw
        transfer = Transfer(isn_base=-isn[leg] - offset, peer_iss=-offset % (1 << 32), **settings)
        found.append(transfer)
    return found


@pytest.mark.parametrize("where, offset", [("SYN", 0), ("first byte", 1), ("data", 1500), ("last byte up", 4000),
                                           ("last byte down", 3000), ("FIN up", 4001), ("FIN down", 3001),
                                           ("TIME-WAIT", 4002)])
def test_wrap_in_every_state(where, offset):
    for transfer in wrapping(offset):
        transfer.run().check()
    count = transfer.pair.frames
    for n in range(1, count + 1, 3):            # and when segments around it are lost
        for transfer in wrapping(offset, lose=lambda number, *_, n=n: number == n):
            transfer.run().check()


@pytest.mark.parametrize("offset", [0, 1, 1500, 3000, 4000, 4001])
@pytest.mark.parametrize("sack", [False, True])
def test_wrap_in_sync_records_and_sack_blocks(offset, sack):
    options = {"client": {"sack": True}, "server": {"sack": True}} if sack else {}
    for k in range(6, 40, 5):
        for transfer in wrapping(offset, lose=lambda number, *_: number % 11 == 0, **options):
            transfer.pair.kill_at = k, "record" if k & 1 else "lost"
            transfer.run(limit=100_000)
            assert not transfer.problems(), (k, transfer.problems())


def test_wrap_while_a_window_is_closed():
    leg = opened("client", isn_base=0)
    base = leg.peer_iss
    leg = opened("client", isn_base=-base - 10)
    assert leg.rcv > 1 << 31
    leg.window = 0
    leg.send()
    leg.settle()
    leg.far_write(bytes(3000))
    probes = leg.settle(3000)
    assert {len(s.payload) for s in probes} == {1}
    leg.window = 8000
    leg.send()
    assert leg.take(leg.settle()) == bytes(3000) and leg.rcv < 1 << 31
