"""Windows, probes and losses that no well-behaved peer produces, or seldom: see test_programs_corners.py."""
import pytest

from spps.layouts.flowstate import LEG, LEG_BASE, ConnFlag
from spps_sim.checker.wire import ACK, FIN, RST
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import RawClient
from spps_sim.model.tcp_scripted import ScriptedPeers
from spps_sim.peers.frames import mss_option, sack_option, sack_permitted_option
from tests.ucode.env_corners import FLAGS, WINDOW, alive

MSS = 1460


# windows --------------------------------------------------------------------------------------
def test_bytes_beyond_our_window_or_the_segment_size_of_the_other_side_are_cut():
    hands = ScriptedPeers(mss=536, config={"window": 2000}).open()
    assert [len(s.payload) for s in hands.up(1000)] == [536, 464]
    got = hands.up(1460)
    assert sum(len(s.payload) for s in got) == 1000
    answer = hands.client.settle(1)
    assert not answer or answer[-1].ack <= hands.client.iss + 1 + 1000


def test_a_window_that_closes_with_data_and_one_that_opens_with_an_ack():
    hands = ScriptedPeers().open()
    assert sum(len(s.payload) for s in hands.up(10, window=0)) == 10
    assert hands.down(100) == []                        # the client's window is closed
    hands.client.send(window=WINDOW)
    assert [len(s.payload) for s in hands.client.settle()] == [100]
    hands.down(100)
    hands.client.send(ack=hands.client.rcv + 100, window=0)
    hands.client.send(ack=hands.client.rcv + 200, window=WINDOW)
    hands.client.rcv += 200
    hands.server.settle()
    assert alive(hands)


def test_the_fin_waits_for_room_in_the_window_and_for_one_that_shrank():
    hands = ScriptedPeers(client_window=100).open()
    server, client = hands.server, hands.client
    server.send(FIN | ACK, payload=bytes(100))
    server.nxt += 101
    data, = client.settle()
    assert len(data.payload) == 100 and not data.flags & FIN
    client.send(ack=client.rcv + 60, window=20)         # right edge goes back by 20
    client.send(ack=client.rcv + 60, window=40)         # and stands at the last byte
    assert client.settle(20) == []
    client.rcv += 100
    client.send(window=0)
    client.send(window=100)
    fin, = client.settle()
    assert fin.flags & FIN and not fin.payload


def test_one_event_sends_a_limited_number_of_segments():
    hands = ScriptedPeers(client_window=0, config={"initial_window": 63}, options=b"\2\4\0\x64").open()     # MSS 100
    for _ in range(5):
        hands.down(1000)
    hands.client.send(window=WINDOW)
    burst = hands.client.settle(12)
    assert len(burst) == 16
    hands.client.rcv += 1600
    hands.client.send(window=WINDOW)
    assert len(hands.client.settle()) == 16


def test_the_timer_retransmits_in_a_closed_window_until_it_gives_up_an_unanswered_probe():
    hands = ScriptedPeers(config={"retries": 2}).open()
    hands.client.send(window=0)
    hands.down(100)
    got = hands.client.settle(60_000)
    assert [len(s.payload) for s in got[:2]] == [1, 1] and got[-1].flags & RST and not hands.unit.in_use
    assert hands.server.settle(10)[-1].flags & RST


def test_a_fin_alone_is_the_probe_of_a_closed_window():
    hands = ScriptedPeers().open()
    hands.client.send(window=0)
    hands.server.send(FIN | ACK)
    assert hands.client.settle(100) == []
    probe, *_ = hands.client.settle(1500)
    assert probe.flags & FIN and not probe.payload


def test_an_endpoint_gives_up_alone():
    client = RawClient(FunctionalPair(standby=False, config={"mode": 0, "retries": 1}), port=7)
    client.open()
    client.send(payload=b"echo")
    got = client.settle(30_000)
    assert got[-1].flags & RST and not client.pair.units[0].in_use


# loss -----------------------------------------------------------------------------------------
def test_the_only_segment_in_flight_is_retransmitted_at_once_with_and_without_its_fin():
    for flags in (ACK, FIN | ACK):
        hands = ScriptedPeers().open()
        hands.server.send(flags, payload=bytes(100))
        sent, = hands.client.settle()
        for _ in range(3):
            hands.client.send()
        again = hands.client.settle(50)
        assert [(s.seq, len(s.payload)) for s in again] == [(sent.seq, 100)]


def test_duplicate_acks_of_an_older_loss_start_no_recovery():
    hands = ScriptedPeers().open()
    for _ in range(4):
        hands.down(1000)
    hands.client.settle(1500)                           # a timeout: all is retransmitted, slowly
    for _ in range(3):
        hands.client.send()
    cwnd = hands.unit.flowstates[0][LEG_BASE + LEG["cwnd"].word]
    hands.client.settle(20)
    assert hands.unit.flowstates[0][LEG_BASE + LEG["cwnd"].word] == cwnd


def test_a_nearer_sacked_range_takes_the_place_of_a_farther_one():
    permitted = ScriptedPeers(options=sack_permitted_option()).open()
    refused = ScriptedPeers().open()
    for hands in (permitted, refused):
        first = hands.client.rcv
        for _ in range(5):
            hands.server.send(payload=bytes(1000))
            hands.server.nxt += 1000
        hands.client.settle(20)
        for left, right in ((4000, 5000), (2000, 3000)):
            hands.client.segment(hands.client.sport, hands.client.dst, seq=hands.client.nxt, ack=first, flags=ACK,
                                 options=sack_option([(first + left, first + right)]))
            hands.client.settle(8)
        kept = hands.unit.flowstates[0][LEG_BASE + LEG["sacked_left"].word]
        assert (kept == first + 2000) == (hands is permitted)


@pytest.mark.parametrize("ending", ["nothing", "fin"])
def test_what_was_to_be_retransmitted_has_been_acknowledged_before_a_record_let_it_go(ending):
    """A full record waits to be issued: nothing leaves. A partial ACK asks for a segment, the next withdraws it."""
    hands = ScriptedPeers(standby=True)
    hands.unit.protect = 0
    hands.open()
    first = hands.client.rcv
    for n in range(5):
        hands.server.send(FIN | ACK if ending == "fin" and n == 4 else ACK, payload=bytes(1000))
        hands.server.nxt += 1000
    hands.client.settle()
    for _ in range(3):
        hands.client.send()
    hands.client.settle(20)                             # recovery
    unit = hands.unit
    unit.protect, unit.sync_ready, unit.joins = 1, 0, unit.joins + 1
    unit.kick()
    for ack in (first + 2000, first + 5000 + (ending == "fin")):
        hands.client.send(ack=ack)
        assert hands.client.settle(15) == []
    unit.sync_ready = 1
    assert all(not s.payload for s in hands.client.settle(100))
    assert unit.flowstates[0][FLAGS] >> ConnFlag.PROTECTED & 1


def test_a_window_that_opened_while_nothing_could_leave_is_no_loss():
    """The window is open again, nothing is in flight, a record holds everything back: no timer calls that a loss."""
    hands = ScriptedPeers()
    hands.unit.protect = 0
    hands.open()
    hands.client.send(window=0)
    hands.down(100)
    unit = hands.unit
    unit.protect, unit.sync_ready, unit.joins = 1, 0, unit.joins + 1
    unit.kick()
    hands.client.send(window=WINDOW)
    assert hands.client.settle(1500) == []
    cwnd = unit.flowstates[0][LEG_BASE + LEG["cwnd"].word]
    unit.sync_ready = 1
    assert [len(s.payload) for s in hands.client.settle()] == [100]
    assert cwnd >= 2 * MSS, "it was taken for a loss"


def test_a_partial_ack_that_closes_the_window_retransmits_nothing():
    leg = Leg("client", options=mss_option(1000))
    leg.open()
    leg.far_write(bytes(5000))
    leg.settle(30)
    for _ in range(3):
        leg.send()
    assert [len(s.payload) for s in leg.settle(20)] == [1000]
    leg.send(ack=leg.rcv + 1000, window=0)
    assert leg.settle(20) == []
    leg.send(ack=leg.rcv + 1000)
    assert leg.settle(20)[0].seq == leg.rcv + 1000
