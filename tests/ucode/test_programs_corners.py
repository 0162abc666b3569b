"""Segments and events that no well-behaved peer produces, or seldom: each takes a branch that nothing else takes.

Both peers are played by hand. What the transfers of the other files reach is not repeated here; see
programs/coverage_exemptions.txt for what nothing can reach.
"""
import pytest

from spps.layouts.event import EventKind, TimerCause
from spps.layouts.flowstate import LEG, LEG_BASE, SHARED, ConnFlag
from spps_sim.checker.wire import ACK, FIN, RST, SYN
from spps_sim.model.functional_pair import CLIENT_IP, VIP_0, VIP_1, FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.model.tcp_scripted import ScriptedPeers
from spps_sim.peers.frames import ip_number
from tests.ucode.env_corners import FLAGS, alive

PSH = 8
STATE = LEG_BASE + LEG["state"].word


# dispatch -------------------------------------------------------------------------------------
@pytest.mark.parametrize("flow", [False, True])
def test_events_that_the_program_has_no_use_for_give_their_payload_back_and_change_nothing(flow):
    hands = ScriptedPeers().open()
    unit, before = hands.unit, list(hands.unit.flowstates[0])
    for kind in [k.value for k in EventKind if k not in (EventKind.TCP, EventKind.ARP, EventKind.TIMER)] + [200]:
        unit.scratch[9] = b"payload"
        unit.run({"kind": kind, "payload_len": 7, "scratch_ref": 9, **({"conn": 0} if flow else {"noflow": 1})})
        assert not unit.scratch
    assert not flow or unit.flowstates[0][:16] == before[:16]
    assert alive(hands)


@pytest.mark.parametrize("state", [0, 9])
def test_a_leg_without_a_state_answers_nothing(state):
    hands = ScriptedPeers().open()
    hands.unit.flowstates[0][STATE] = state
    hands.unit.flowstates[0][SHARED["misc"].word] = 0       # not on the fast path
    assert hands.up(10) == [] and hands.client.settle() == []


def test_a_timer_event_without_a_flow_is_ignored():
    hands = ScriptedPeers().open()
    sent = len(hands.unit.log)
    hands.unit.run({"kind": EventKind.TIMER.value, "noflow": 1})
    assert len(hands.unit.log) == sent


def test_arp_replies_and_requests_from_other_ports_are_ignored():
    hands = ScriptedPeers()
    for fields in ({"subtype": 2, "iface": 0}, {"subtype": 1, "iface": 2}):
        hands.unit.run({"kind": EventKind.ARP.value, "noflow": 1, "dst_ip": ip_number(VIP_0), **fields})
    assert hands.unit.log == []


# opening --------------------------------------------------------------------------------------
@pytest.mark.parametrize("target, config, flags", [
    ((VIP_0, 80), {"listen_first": 100}, SYN), ((VIP_0, 80), {}, SYN | RST), ((VIP_0, 80), {}, SYN | FIN)])
def test_a_syn_that_is_not_for_us_is_refused_and_leaves_nothing(target, config, flags):
    hands = ScriptedPeers(config=config)
    hands.client.segment(40_000, (ip_number(target[0]), target[1]), seq=5, flags=flags)
    answer = hands.client.settle()
    assert (answer == []) if flags & RST else (answer[0].flags & RST and answer[0].ack in (6, 7))
    assert not hands.unit.in_use and not hands.unit.keys and hands.server.settle() == []


@pytest.mark.parametrize("iface, dst, flags",
                         [(2, VIP_0, SYN), (0, VIP_1, SYN), (0, VIP_0, SYN | RST), (0, VIP_0, SYN | FIN)])
@pytest.mark.parametrize("mode", [0, 1])
def test_a_program_refuses_what_is_not_for_it(mode, iface, dst, flags):
    """The splitter lets no other address pass; a program does not depend on it."""
    pair = FunctionalPair(standby=False, config={"mode": mode})
    unit, sent = pair.units[0], []
    unit.emit = lambda unit, port, frame: sent.append((port, frame))
    unit.keys[ip_number(CLIENT_IP), ip_number(dst), 40_000, 7, 6, iface] = 0, 0
    unit.in_use, unit.flowstates = {0}, {0: unit.garbage()}
    unit.run({"kind": EventKind.TCP.value, "iface": iface, "new": 1, "src_ip": ip_number(CLIENT_IP), "src_mac_lo": 1,
              "dst_ip": ip_number(dst), "src_port": 40_000, "dst_port": 7, "tcp_flags": flags, "seq": 9})
    assert not unit.in_use and not unit.keys
    assert [port for port, _ in sent] == ([] if flags & RST else [iface])


@pytest.mark.parametrize("flags", [SYN, ACK, FIN, SYN | ACK])
@pytest.mark.parametrize("side, target", [
    ("client", VIP_1), ("client", "8.8.8.8"), ("client", "10.0.0.255"), ("client", "10.0.0.0"),
    ("server", VIP_0), ("server", "8.8.8.8"), ("server", "10.1.255.255")])
def test_a_segment_to_an_address_that_is_not_ours_is_not_answered(side, target, flags):
    hands = ScriptedPeers()
    peer = getattr(hands, side)
    events = hands.unit.events
    peer.segment(40_000, (ip_number(target), 80), seq=5, ack=6, flags=flags)
    assert peer.settle() == [] and hands.unit.events == events and not hands.unit.in_use
    ours = VIP_0 if side == "client" else VIP_1
    peer.segment(40_000, (ip_number(ours), 80), seq=5, ack=6, flags=ACK)
    assert [(s.flags, s.seq) for s in peer.settle()] == [(RST, 6)]


@pytest.mark.parametrize("tag, answered", [
    ("81000000", True), ("8100e000", True), ("81000001", False), ("88a80000", False)])
def test_a_priority_tag_changes_nothing(tag, answered):
    """In the functional model and in the checker; the table of other tags is the splitter's."""
    hands = ScriptedPeers()
    frames, unit = [], hands.unit
    take = unit.frame
    unit.frame = lambda port, data: frames.append(data) or take(port, data[:12] + bytes.fromhex(tag) + data[12:])
    hands.client.segment(40_000, (ip_number(VIP_0), 80), seq=5, ack=6, flags=ACK)
    assert [s.flags for s in hands.client.settle()] == [RST] * answered and len(frames) == 1


def test_the_server_may_listen_elsewhere():
    hands = ScriptedPeers(config={"server_port": 8080}).syn()
    assert hands.server.local == 8080


@pytest.mark.parametrize("segments", [0, 1])
def test_an_initial_window_of_none_is_one_segment(segments):
    transfer = Transfer(up=5000, down=5000, config={"initial_window": segments}).run()
    transfer.check()


def test_while_the_server_is_asked_only_an_exact_reset_of_the_client_counts():
    hands = ScriptedPeers().syn()
    hands.client.send(RST, seq=hands.client.nxt + 5, ack=0)
    assert hands.server.settle() == [] and hands.unit.in_use
    hands.client.send(RST, seq=hands.client.nxt, ack=0)
    reset, = hands.server.settle()
    assert reset.flags & RST and not hands.unit.in_use


def test_while_the_server_is_asked_its_other_segments_change_nothing_and_a_wrong_ack_is_reset():
    hands = ScriptedPeers().syn()
    server = hands.server
    server.send(RST | ACK, ack=server.rcv + 1)
    server.send(ACK)
    assert server.settle() == [] and hands.client.settle() == []
    server.send(SYN | ACK, seq=server.iss, ack=server.rcv + 1)
    reset, = server.settle()
    assert reset.flags & RST and reset.seq == server.rcv + 1
    hands.syn_ack()


def test_another_syn_in_syn_received_is_challenged_and_the_handshake_goes_on():
    hands = ScriptedPeers().syn().syn_ack()
    hands.client.send(SYN, seq=hands.client.iss + 100, ack=0)
    answer = hands.client.settle()
    assert all(s.ack == hands.client.nxt and not s.flags & RST for s in answer)
    hands.client.send()
    hands.client.settle()
    assert alive(hands)


def test_nothing_leaves_before_the_full_record_can_be_issued():
    hands = ScriptedPeers().syn()
    hands.unit.sync_ready = 0
    hands.server.send(SYN | ACK, seq=hands.server.iss)
    assert hands.client.settle(10) == [] and hands.server.settle(10) == []
    hands.unit.sync_ready = 1
    answer, = hands.client.settle()
    assert answer.flags == SYN | ACK and hands.server.settle()


# segments of a synchronized connection --------------------------------------------------------
def test_a_segment_without_ack_is_ignored():
    hands = ScriptedPeers().open()
    hands.client.send(PSH, payload=b"never")
    assert hands.server.settle() == [] and hands.client.settle() == []
    assert alive(hands)


def test_an_old_ack_is_no_news_but_its_data_counts():
    hands = ScriptedPeers().open()
    first = hands.client.rcv
    hands.down(100)
    hands.client.rcv += 100
    hands.client.send()
    hands.client.settle()
    got = hands.up(50, ack=first + 50)
    assert sum(len(s.payload) for s in got) == 50


def test_a_fin_from_before_the_window_is_acknowledged():
    hands = ScriptedPeers().open()
    hands.client.send(FIN | ACK, seq=hands.client.nxt - 500)
    answer, = hands.client.settle()
    assert answer.flags == ACK and answer.ack == hands.client.nxt and hands.server.settle() == []


def test_a_reset_inside_withheld_bytes_is_ignored():
    hands = ScriptedPeers().open()
    hands.up(100)
    hands.client.send(RST, seq=hands.client.nxt - 50)
    assert hands.client.settle() == [] and hands.unit.in_use
    assert all(not s.flags & RST for s in hands.server.settle())


def test_challenges_are_counted_anew_after_a_while():
    hands = ScriptedPeers().open()

    def challenges(count):
        for _ in range(count):
            hands.client.send(RST, seq=hands.client.nxt + 10)
        return len(hands.client.settle())
    hands.client.settle(1100)
    assert challenges(12) == 10 and challenges(2) == 0
    hands.client.settle(1100)
    assert challenges(2) == 2 and alive(hands)


def test_an_endpoint_closes_on_an_exact_reset():
    client = RawClient(FunctionalPair(standby=False, config={"mode": 0}), port=9)
    client.open()
    client.send(RST)
    assert client.settle() == [] and not client.pair.units[0].in_use


def test_a_reset_in_time_wait_does_not_end_it_for_the_other_side():
    """RFC 1337. The server in LAST-ACK, whose final ACK was lost, must still find the connection."""
    hands = ScriptedPeers().open()
    client, server = hands.client, hands.server
    client.send(FIN | ACK)
    client.nxt += 1
    fin = [s for s in server.settle() if s.flags & FIN][0]
    server.rcv = fin.seq + 1
    server.send(FIN | ACK)
    server.nxt += 1
    fin = [s for s in client.settle() if s.flags & FIN][0]
    client.rcv = fin.seq + 1
    client.send()
    assert server.settle()[-1].ack == server.nxt            # let it be lost
    assert hands.unit.flowstates[0][FLAGS] >> ConnFlag.TIME_WAIT & 1
    client.send(RST, seq=client.nxt)
    client.settle()
    server.send(FIN | ACK, seq=server.nxt - 1)
    answer, = server.settle()
    assert answer.flags == ACK and answer.ack == server.nxt
    hands.pair.run(until=lambda: not hands.unit.in_use, limit=20_000)


def test_a_timer_event_in_time_wait_comes_again_when_it_is_over():
    transfer = Transfer(0, 0)
    unit = transfer.pair.units[0]
    transfer.pair.run(until=lambda: unit.in_use and unit.flowstates[0][FLAGS] >> ConnFlag.TIME_WAIT & 1)
    unit.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.DEADLINE.value, "conn": 0})
    assert unit.in_use and unit.timers[0] > transfer.pair.time
    transfer.run()
    transfer.check()


# change of role -------------------------------------------------------------------------------
def test_kick_leaves_alone_what_is_not_set_up_what_has_one_leg_and_what_is_protected():
    hands = ScriptedPeers().syn()
    hands.unit.kick()
    hands.syn_ack()
    hands.client.send()
    hands.client.settle()
    issued = hands.unit.issued
    hands.unit.kick()
    assert hands.unit.issued == issued and alive(hands)
    client = RawClient(FunctionalPair(standby=False, config={"mode": 0}), port=7)
    client.open()
    client.pair.units[0].kick()
    client.send(payload=b"x")
    assert b"".join(s.payload for s in client.settle()) == b"x"


def test_a_new_epoch_of_the_same_unit_is_met_by_data_by_a_held_syn_and_by_an_endpoint():
    hands = ScriptedPeers().open()
    hands.unit.epoch = 2
    assert sum(len(s.payload) for s in hands.up(10)) == 10 and alive(hands)
    hands = ScriptedPeers().syn()
    hands.unit.epoch = 2
    hands.syn_ack()
    client = RawClient(FunctionalPair(standby=False, config={"mode": 0}), port=7)
    client.open()
    client.pair.units[0].epoch = 2
    client.send(payload=b"x")
    assert b"".join(s.payload for s in client.settle()) == b"x"


def taken_over(**fields):
    hands = ScriptedPeers(**fields).open()
    hands.pair.kill("record")
    return hands


def test_without_takeover_acks_nobody_is_prompted():
    hands = taken_over(config={"takeover_acks": 0})
    assert len(hands.client.settle()) <= 1 and len(hands.server.settle()) <= 1
    assert alive(hands)


def test_after_a_takeover_an_ack_is_believed_up_to_the_largest_window_and_the_fin():
    hands = taken_over()
    hands.client.settle()
    hands.client.send(ack=hands.client.rcv + 70_000)
    answer = hands.client.settle()
    assert answer[-1].seq == hands.client.rcv, "challenged, not believed"
    hands = ScriptedPeers().open()
    hands.server.send(FIN | ACK)
    fin, = hands.client.settle()
    hands.pair.kill("record")
    hands.client.settle()
    hands.client.send(ack=fin.seq + 1 + 50)
    hands.client.settle()
    snd_una = hands.unit.flowstates[0][LEG_BASE + LEG["snd_una"].word]
    assert snd_una == fin.seq, "nothing was ever sent after the FIN"


def test_round_trips_longer_than_the_least_timeout_are_measured():
    transfer = Transfer(up=60_000, down=0, delay=400).run()
    transfer.check()
    assert transfer.pair.units[0].steps


def end_with_events_under_way(defines=()):
    """A reset connection, then segments of the server that were on their way to a core; returns what the server got."""
    hands = ScriptedPeers(defines=list(defines)).open()
    unit, issued = hands.unit, hands.unit.issued
    hands.client.send(RST)
    hands.client.settle()
    assert unit.issued == issued + 1 and [s.flags for s in hands.server.settle()] == [RST | ACK]
    unit.scratch[9] = b"late"
    for flags in (ACK, RST, FIN | ACK):
        unit.run({"kind": EventKind.TCP.value, "conn": 0, "leg": 1, "iface": 1, "tcp_flags": flags,
                  "src_mac_hi": int.from_bytes(hands.server.mac[:2], "big"),
                  "src_mac_lo": int.from_bytes(hands.server.mac[2:], "big"),
                  "src_ip": hands.server.ip, "dst_ip": ip_number(VIP_1), "seq": hands.server.nxt,
                  "src_port": hands.server.local, "dst_port": hands.server.remote[1],
                  "ack": hands.server.rcv + 700, "window": 8192,
                  **({"payload_len": 4, "scratch_ref": 9} if unit.scratch else {})})
    assert unit.issued == issued + 1 and not unit.scratch and not unit.in_use
    return hands.server.settle(), hands.server.rcv + 700


def test_a_segment_that_was_under_way_when_the_connection_ended_is_answered_as_by_a_closed_port():
    """RFC 9293 §3.10.7.1: <SEQ=SEG.ACK><CTL=RST>. So a peer ends too that knew more than a unit which took over."""
    got, number = end_with_events_under_way()
    assert [(s.flags, s.seq) for s in got] == 2 * [(RST, number)]
    assert not end_with_events_under_way(["BROKEN_SILENT_END"])[0]
