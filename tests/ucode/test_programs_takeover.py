"""The program across a takeover: kill after every event of a short connection, from SYN to the end of TIME-WAIT."""
import pytest

from spps.layouts.flowstate import LEG, LEG_BASE, LEG_STRIDE, ConnFlag
from spps_sim.checker.wire import SYN, parse_segment
from spps_sim.model.functional_pair import VIP_0, FunctionalPair
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import RawPeer, Transfer
from spps_sim.peers import State
from spps_sim.peers.frames import ip_number, sack_permitted_option


def killed(k, how, **kw):
    transfer = Transfer(**kw)
    transfer.pair.kill_at = k, how
    return transfer.run(limit=100_000)


def sweep(how, **kw):
    """Kills after each event; returns the transfers."""
    whole = Transfer(**kw).run()
    whole.check()
    failures, transfers = [], []
    for k in range(1, whole.pair.units[0].events + 1):
        transfer = killed(k, how, **kw)
        problems = transfer.problems()
        if problems:
            failures.append(f"killed after event {k}: " + "; ".join(problems))
        transfers.append(transfer)
    assert not failures, "\n".join(failures)
    return transfers


@pytest.mark.parametrize("how", ["lost", "record"])
@pytest.mark.parametrize("close", ["client", "server", "both"])
@pytest.mark.parametrize("up, down", [(3000, 2000), (0, 700), (700, 0), (0, 0)])
def test_survives_a_kill_after_every_event(how, close, up, down):
    sweep(how, close=close, up=up, down=down)


@pytest.mark.parametrize("how", ["lost", "record"])
@pytest.mark.parametrize("delay, sync_delay, detect", [(1, 1, 10), (20, 1, 5), (2, 30, 50), (40, 40, 3)])
def test_survives_for_other_delays(how, delay, sync_delay, detect):
    sweep(how, up=4000, down=4000, delay=delay, sync_delay=sync_delay, detect=detect)


@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_inside_a_long_transfer(how):
    total = Transfer(up=30_000, down=30_000, close="both").run().pair.units[0].events
    for k in range(1, total, 7):
        transfer = killed(k, how, up=30_000, down=30_000, close="both")
        assert not transfer.problems(), (k, transfer.problems())


@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_when_the_sequence_numbers_wrap(how):
    """The peers' ISNs, and ours by turning the ISN clock, lie just below 2^32."""
    probe = Transfer(peer_iss=(1 << 32) - 1500).run()
    for leg in (0, 1):
        base = -initial_number(probe, leg) - 1000
        transfers = sweep(how, up=3000, down=3000, peer_iss=(1 << 32) - 1500, isn_base=base)
        assert initial_number(transfers[-1], leg) > (1 << 32) - 1100


def initial_number(transfer, leg):
    """The ISN of the unit on a leg."""
    return next(o.seq for o in transfer.pair.units[0].segments if o.iface == leg and o.tcp_flags & 2)


def test_resumes_soon_after_the_takeover():
    """Duplicate ACKs at a takeover make peers retransmit at once: sooner than their smallest timeout, 200 ticks."""
    for k in range(8, 30):
        transfer = Transfer(up=60_000, down=0)
        transfer.pair.kill_at = k, "lost"
        pair = transfer.pair
        pair.run(until=lambda pair=pair: pair.units[1].active)
        start, before = pair.time, len(transfer.server.received)
        pair.run(until=lambda transfer=transfer, before=before: len(transfer.server.received) > before)
        assert pair.time - start < 50, (k, pair.time - start)


def last_acks(close, defines=()):
    """Kills by which the ACK of a FIN is lost that the standby knows of: (event, ticks until both are done, frames)."""
    events = Transfer(close=close).run().pair.units[0].events
    found = []
    for k in range(1, events + 1):
        transfer = Transfer(close=close, defines=list(defines))
        pair = transfer.pair
        pair.kill_at = k, "record"
        pair.run(until=lambda pair=pair: pair.killed)
        pair.run(until=lambda pair=pair: pair.units[1].active)
        unit, start = pair.units[1], pair.time
        ends = transfer.client, transfer.server
        closed = unit.in_use and unit.flowstates[0][0] >> ConnFlag.TIME_WAIT & 1
        if closed and any(end.state in (State.LAST_ACK, State.CLOSING) for end in ends):
            frames = len(pair.capture)
            pair.run(until=lambda ends=ends: all(end.state in (State.TIME_WAIT, State.CLOSED) for end in ends))
            found.append((k, pair.time - start, len(pair.capture) - frames))
        transfer.run()
        transfer.check()
    return found


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_the_last_ack_is_sent_again(close):
    """Peers end within a round trip, 10 ticks, not by their own timers, 200 ticks. One ACK, or two if FINs crossed."""
    found = last_acks(close)
    assert found and all(ticks <= 15 and frames <= 2 for _, ticks, frames in found), found
    assert all(ticks > 100 for _, ticks, _ in last_acks(close, ["BROKEN_LAST_ACK"]))


def taken_over():
    """A transfer whose unit 1 is active and alone."""
    transfer = Transfer(up=60_000, down=1000)
    pair = transfer.pair
    pair.kill_at = 25, "lost"
    pair.run(until=lambda: pair.units[1].active)
    return transfer, pair.units[1]


def protected(unit):
    return unit.flowstates[0][0] >> ConnFlag.PROTECTED & 1


def test_without_a_standby_a_connection_is_unprotected_after_the_takeover():
    transfer, unit = taken_over()
    assert not protected(unit)
    records = unit.issued
    transfer.pair.run(until=lambda: len(transfer.server.received) > 20_000)
    assert unit.issued == records


def prompts(defines=()):
    """Kills with SACK: for each source of which more than a segment had come, whether it got a SACK block."""
    options, defines = {"sack": True, "timestamps": True}, list(defines)
    found = []
    for size, step in ((3000, 1), (60_000, 5)):
        def transfer(size=size):
            return Transfer(up=size, down=size, close="both", delay=20, client=options, server=options, defines=defines)
        for k in range(8, transfer().run().pair.units[0].events, step):
            run = transfer()
            pair, dead = run.pair, run.pair.units[0]
            pair.kill_at = k, "record"
            pair.run(until=lambda pair=pair: pair.killed)
            start = len(pair.capture)
            held = [leg_word(dead, leg, "rcv_nxt") - leg_word(dead, leg, "permitted_ack") & 0xFFFFFFFF
                    for leg in (0, 1) if dead.in_use]
            pair.run(until=lambda pair=pair: pair.units[1].active)
            pair.run(until=lambda pair=pair, end=pair.time + 3: pair.time >= end)
            for link, bytes_held in zip(("client", "server"), held):
                if bytes_held > 1448:
                    sent = [parse_segment(frame.data) for frame in pair.capture[start:]
                            if frame.link == link and frame.unit == 1]
                    found.append(any(5 in segment.options for segment in sent if segment))
    return found


def leg_word(unit, leg, name):
    return unit.flowstates[0][LEG_BASE + leg * LEG_STRIDE + LEG[name].word]


def test_a_source_with_sack_is_told_of_the_last_segment_whenever_more_than_one_had_come():
    """Linux with SACK resends at once for nothing else (hdl/spps/failover/README.md)."""
    assert all(prompts()) and len(prompts()) > 50
    assert sum(prompts(["BROKEN_NO_HINT"])) < 40


def test_a_hint_does_not_wait_for_a_record_that_is_not_taken():
    leg = Leg("client", options=sack_permitted_option())
    leg.open()
    issued, leg.unit.sync_ready = leg.unit.issued, 0
    for _ in range(3):
        leg.send(payload=bytes(1460))
        leg.nxt += 1460
        leg.settle(1)
    assert leg.unit.issued == issued
    leg.unit.sync_ready = 1
    leg.settle()
    assert leg.far_received() == 3 * 1460 and leg.unit.issued > issued


def flooded_after_a_kill(defines=()):
    """Connections in use, and SYNs refused, after a flood of SYNs, a kill and more of the flood."""
    pair = FunctionalPair(half_open_limit=4, connections=16, defines=list(defines))
    pair.server.listen(80, lambda connection, what: None)
    attacker = RawPeer(pair, 0, "10.0.0.66", "02:00:00:00:00:66")

    def flood(ports):
        for port in ports:
            attacker.segment(port, (ip_number(VIP_0), 80), seq=1000 * port, flags=SYN)
            attacker.settle(40)
    flood(range(1, 9))
    assert len(pair.units[0].half_open) == 4
    pair.kill("record")
    attacker.settle()
    flood(range(11, 19))
    unit = pair.units[1]
    assert unit.active
    return len(unit.in_use), unit.half_open_refused


def test_the_limit_of_handshakes_counts_those_that_were_taken_over():
    assert flooded_after_a_kill() == (4, 8)
    assert flooded_after_a_kill(["BROKEN_HALF_OPEN_FORGOTTEN"]) == (8, 4)
