"""Timestamps (RFC 7323): negotiation, room, echo while ACKs are withheld, PAWS, takeover, wrapped clocks."""
import random

import pytest

from spps_sim.checker import monitor
from spps_sim.checker.wire import ACK, RST, SYN, parse_segment
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.peers.frames import mss_option, timestamp_option
from tests.ucode.test_programs_endpoint import run as run_endpoint

STAMPS = {"client": {"timestamps": True}, "server": {"timestamps": True}}
DAY = 24 * 3600 * 1000      # ticks of a ms


def stamp(segment):
    """(TSval, TSecr) or None."""
    raw = segment.options.get(8)
    return raw and (int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big"))


def sent(transfer, unit=0):
    """[(link, Segment)] of a unit."""
    pairs = [(f.link, parse_segment(f.data)) for f in transfer.pair.capture if f.unit == unit]
    return [(link, s) for link, s in pairs if s]


class StampedClient(RawClient):
    """A client played by hand whose segments carry the timestamp `val`, and an echo of the last one it got."""

    def __init__(self, pair, *, val=1000, **kw):
        self.val, self.echo, self.plain = val, 0, False
        super().__init__(pair, options=mss_option(1000), **kw)

    def receive(self, data):
        super().receive(data)
        if self.got and stamp(self.got[-1]):
            self.echo = stamp(self.got[-1])[0]

    def segment(self, *address, options=b"", **kw):
        super().segment(*address, options=options + (b"" if self.plain else timestamp_option(self.val, self.echo)),
                        **kw)

    def put(self, payload, val=None, *, ticks=40, **kw):
        """Data with TSval `val`; what came back."""
        self.val = self.val if val is None else val
        self.send(payload=payload, **kw)
        if "seq" not in kw:
            self.nxt += len(payload)
        return self.settle(ticks)


def opened(*, server=None, val=1000, **pair):
    """A StampedClient connected to the pair's server."""
    pair = FunctionalPair(server={"timestamps": True} | (server or {}), **pair)
    pair.server.listen(80, lambda connection, what: None)
    client = StampedClient(pair, val=val)
    client.open()
    return client


# --- negotiation ---------------------------------------------------------------------------
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("server", [False, True])
def test_on_both_legs_or_on_none(client, server):
    transfer = Transfer(up=20_000, down=20_000, client={"timestamps": client}, server={"timestamps": server}).run()
    transfer.check()
    segments = sent(transfer)
    offer = next(s for link, s in segments if link == "server" and s.flags == SYN)
    assert bool(stamp(offer)) == client and (not client or stamp(offer)[1] == 0)        # TSecr is 0 without ACK
    assert int.from_bytes(offer.options[2], "big") == 1460                             # RFC 6691: without options
    used = [bool(stamp(s)) for _, s in segments if s is not offer and not s.flags & RST]
    assert used == [client and server] * len(used)


def test_payload_leaves_room_for_the_option():
    for timestamps, room in ((True, 1448), (False, 1460)):
        transfer = Transfer(up=40_000, down=40_000,
                            **{side: {"timestamps": timestamps} for side in ("client", "server")}).run()
        assert max(len(s.payload) for _, s in sent(transfer)) == room
        assert transfer.client.counters["unstamped"] == transfer.server.counters["unstamped"] == 0


@pytest.mark.parametrize("mss", [48, 20])       # 48 is the floor
def test_smallest_segments_of_a_peer_hold_the_option_and_payload(mss):
    pair = FunctionalPair(server={"timestamps": True})
    pair.server.listen(80, lambda connection, what: connection.write(bytes(100)) if what == "established" else None)
    client = StampedClient(pair)
    client.options = mss_option(mss)
    client.segment(client.sport, client.dst, seq=client.iss, flags=SYN, window=client.window, options=client.options)
    answer, = client.settle()
    client.nxt, client.rcv = client.iss + 1, answer.seq + 1
    client.send()
    assert {len(s.payload) for s in client.settle(40)} <= {36, 100 % 36}


@pytest.mark.parametrize("val", [5, 0x90000000])
def test_simultaneous_open_echoes_a_timestamp_of_any_size(val):
    leg = Leg("server", client={"timestamps": True})
    leg.syn()
    leg.first()
    leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=SYN, options=mss_option(1000) + timestamp_option(val, 0),
                window=leg.window)
    crossed, = leg.settle(20)
    assert stamp(crossed)[1] == val
    leg.send(options=timestamp_option(val + 1, stamp(crossed)[0]))
    leg.settle()
    assert leg.other.state.name == "ESTABLISHED"


def test_round_trip_of_peers_includes_the_withholding_and_does_not_drift():
    """TSecr: with ACKs withheld under a full window the echo must not get older than a window."""
    for sync_delay, delay in ((2, 5), (30, 5), (5, 20)):
        transfer = Transfer(up=150_000, down=0, delay=delay, sync_delay=sync_delay, **STAMPS).run()
        transfer.check()
        true = 4 * delay + 2 * sync_delay
        assert true <= transfer.client.stamps.longest <= 2 * true, (true, transfer.client.stamps.longest)


# --- echo and PAWS -------------------------------------------------------------------------
def test_echoes_the_segment_that_is_acknowledged():
    client = opened()
    for val in (1001, 1005, 1100):
        answer = client.put(bytes(100), val)[-1]
        assert answer.ack == client.nxt and stamp(answer)[1] == val


def test_echoes_the_first_of_the_segments_withheld():
    client = opened()
    got = (client.put(bytes(100), 2000, ticks=0) + client.put(bytes(100), 2001, ticks=0)
           + client.put(bytes(100), 2002, ticks=40))
    acks = [(s.ack - client.nxt, stamp(s)[1]) for s in got]
    assert acks == [(-200, 2000), (-100, 2001), (0, 2001)]      # one segment is remembered at a time


def test_segment_behind_a_hole_is_not_echoed():
    client = opened()
    client.put(bytes(100), 3000)
    answer, = client.put(bytes(100), 3001, seq=client.nxt + 200)
    assert answer.ack == client.nxt and stamp(answer)[1] == 3000


@pytest.mark.parametrize("base", [1000, (1 << 32) - 10, 1 << 31])
def test_old_timestamp_is_answered_and_dropped(base):
    client = opened(val=base)
    client.put(bytes(100), base)
    assert client.put(bytes(100), base + 20)[-1].ack == client.nxt
    server, = client.pair.server.all_connections()
    answer, = client.put(bytes(50), base + 19, seq=client.nxt)
    assert answer.ack == client.nxt and not answer.payload and stamp(answer)[1] == (base + 20) & 0xFFFFFFFF
    assert len(server.received) == 200
    assert client.put(bytes(50), base + 20)[-1].ack == client.nxt and len(server.received) == 250


def test_old_acknowledgement_acknowledges_nothing():
    pair = FunctionalPair(server={"timestamps": True})
    pair.server.listen(80, lambda connection, what: connection.write(bytes(3000)) if what == "established" else None)
    client = StampedClient(pair)
    client.segment(client.sport, client.dst, seq=client.iss, flags=SYN, window=client.window, options=client.options)
    answer, = client.settle()
    client.nxt, client.rcv = client.iss + 1, answer.seq + 1
    client.send()
    first = client.rcv
    assert sum(len(s.payload) for s in client.settle(40)) == 3000
    for val, acked in ((2000, 988), (1999, 1976), (2001, 988)):
        client.val = val
        client.send(ack=first + acked)
        client.settle(10)
    assert min(s.seq for s in client.settle(400) if s.payload) == first + 988


def test_reset_is_not_subject_to_paws():
    client = opened()
    client.put(bytes(100), 5000)
    client.val = 10
    client.send(RST | ACK)
    client.settle(60)
    server, = client.pair.server.all_connections()
    assert server.was("reset") and not client.pair.units[0].in_use


def test_segment_without_the_option_is_dropped_silently():
    client = opened()
    client.plain = True
    assert not client.put(bytes(100), seq=client.nxt)
    server, = client.pair.server.all_connections()
    assert not server.received
    client.send(RST | ACK)
    client.settle(60)
    assert server.was("reset")


@pytest.mark.parametrize("name", NAMES)
def test_on_every_leg_any_timestamp_is_taken_after_24_days_without_a_segment(name):
    """Without keepalive, whose answers bring fresh timestamps."""
    leg = Leg(name, timestamps=True, options=timestamp_option(1, 0), config={"keepalive": 0})
    leg.open()
    leg.options, leg.val = b"", 1 << 30
    for days in (0, 23):                        # the peer is heard of in between
        leg.settle(days * DAY + 60)
        leg.send(payload=b"x")
        leg.nxt += 1
        leg.take(leg.settle(60))
        leg.send()
    leg.settle(60)
    leg.val = 5
    leg.send(payload=b"y")
    assert leg.settle(60)[-1].ack == leg.nxt and leg.far_received() == 2     # PAWS
    leg.settle(25 * DAY)
    leg.send(payload=b"y")
    leg.settle(60)
    assert leg.far_received() == 3


def test_after_24_days_without_a_segment_any_timestamp_is_taken():
    client = opened(config={"keepalive": 0})
    client.put(bytes(100), 1 << 30)
    client.settle(23 * DAY)
    refused, = client.put(bytes(10), 5, seq=client.nxt)
    assert refused.ack == client.nxt and stamp(refused)[1] == 1 << 30
    client.settle(25 * DAY)
    assert client.put(bytes(10), 5)[-1].ack == client.nxt
    assert stamp(client.put(bytes(10), 6)[-1])[1] == 6
    refused, = client.put(bytes(10), 5, seq=client.nxt)
    assert refused.ack == client.nxt


# --- takeover ------------------------------------------------------------------------------
def sweep(step=1, how=("lost", "record"), **kw):
    kw = {"up": 3000, "down": 2000} | kw
    total = Transfer(**kw).run().pair.units[0].events
    for way in how:
        for k in range(1, total + 1, step):
            transfer = Transfer(**kw)
            transfer.pair.kill_at = k, way
            transfer.run(limit=100_000)
            assert not transfer.problems(), (way, k, transfer.problems())
            assert transfer.client.counters["unstamped"] == 0
            yield transfer


@pytest.mark.parametrize("close", ["client", "server", "both"])
@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_a_kill_after_every_event(how, close):
    for transfer in sweep(how=[how], close=close, bases=(100_000, 0), **STAMPS):
        assert monitor.check(transfer.pair.capture).checks["I7"] > 10


def test_survives_with_sack_too():
    both = {"sack": True, "timestamps": True}
    assert len(list(sweep(up=8000, down=5000, step=3, client=both, server=both))) > 10


def test_survives_when_every_clock_wraps():
    """TSval of both legs, of both peers, and the tick counter itself go through 2^32 during the transfer."""
    probe = Transfer(**STAMPS).run()
    for link in ("client", "server"):
        first = next(stamp(s)[0] for where, s in sent(probe) if where == link)
        wrapped = {"timestamps": True, "stamp_base": (1 << 32) - 60}
        list(sweep(step=5, isn_base=-first - 60, client=wrapped, server=wrapped))
    list(sweep(step=5, bases=((1 << 32) - 60, 0), **STAMPS))


def test_monitor_sees_a_standby_whose_clock_is_behind():
    """Without the tick in heartbeats TSval goes back."""
    transfer = Transfer(up=20_000, bases=(100_000, 0), **STAMPS)
    transfer.pair.units[1].hear = lambda tick: None
    transfer.pair.kill_at = 20, "record"
    transfer.run(until=lambda: transfer.pair.time > 300)
    assert {v.invariant for v in monitor.check(transfer.pair.capture).violations} == {"I7"}


def test_after_a_takeover_the_first_segment_sets_the_echo():
    client = opened()
    client.put(bytes(100), 7000)
    client.pair.kill()
    prompts = client.settle(60)
    assert prompts and all(stamp(s)[1] == 0 for s in prompts)
    answer = client.put(bytes(100), 400)[-1]
    assert answer.ack == client.nxt and stamp(answer)[1] == 400
    refused, = client.put(bytes(100), 399, seq=client.nxt)
    assert refused.ack == client.nxt and stamp(refused)[1] == 400


# --- loss, endpoints -----------------------------------------------------------------------
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_loss(seed, sack):
    dice = random.Random(seed)
    both = {"sack": sack, "timestamps": True}
    transfer = Transfer(up=40_000, down=40_000, close="both", client=both, server=both,
                        lose=lambda *_: dice.random() < 0.06).run()
    transfer.check()
    told = [s for _, s in sent(transfer) if 5 in s.options]
    assert bool(told) == sack and all(stamp(s) and not s.payload for s in told)


@pytest.mark.parametrize("port", [7, 9])
def test_endpoints_use_timestamps(port):
    pair, connection, _ = run_endpoint(port, 5000, client={"timestamps": True})
    answers = [s for f in pair.capture if f.unit == 0 and (s := parse_segment(f.data))]
    assert connection.stamps.on and all(stamp(s) for s in answers) and not monitor.check(pair.capture).violations
