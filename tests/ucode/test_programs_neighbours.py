"""The program and the neighbour table: next hops resolved by ARP, MAC addresses that change under live connections."""
import pytest

from spps.layouts.config import CONFIG
from spps_sim.model.functional_pair import CLIENT_IP, SERVER_IP, VIP_0, VIP_1, FunctionalPair
from spps_sim.model.neighbour import BROADCAST_MAC
from spps_sim.model.tcp_scenarios import RawPeer, Transfer
from spps_sim.peers.frames import Arp, arp_frame, ip_number, mac_bytes, parse_arp

ARP = {"arp_retries": 3, "arp_interval": 100, "arp_age": 3000, "arp_holdoff": 500}
NO_SERVER_MAC = {"server_mac_hi": 0, "server_mac_lo": 0}
NEW = "02:aa:bb:cc:dd:ee"
GATEWAY = "10.0.0.254"
REQUEST, REPLY = 1, 2
SIDES = pytest.mark.parametrize("side", [0, 1], ids=["client", "server"])


def arps(pair, port):
    """ARP packets on a network: (sender is a unit, Arp, destination of the frame)."""
    return [(frame.unit is not None, packet, frame.data[:6]) for frame in pair.capture
            if frame.link == ("client", "server")[port] and (packet := parse_arp(frame.data)) is not None]


def running(up=30_000, down=30_000, **pair):
    """A transfer that has got a third of its way."""
    transfer = Transfer(up=up, down=down, close="both", arp=ARP, **pair)
    transfer.run(until=lambda: transfer.server is not None and len(transfer.server.received) > up // 3
                 and len(transfer.client.received) > down // 3)
    return transfer


def works(pair, port=81):
    """A new connection carries bytes both ways."""
    got = []
    pair.server.listen(port, lambda connection, what: connection.write(b"pong") if what == "established" else None)
    made = pair.client.connect(VIP_0, port, on_event=lambda c, what: got.append(what))
    pair.run(until=lambda: bytes(made.received) == b"pong", limit=20_000)


def resolved(pair, port, ip):
    """MAC address that the active unit has for an address, as bytes; None: none."""
    entry = pair.active.neighbours.entries.get((port, ip_number(ip)))
    return entry and entry.mac and entry.mac.to_bytes(6, "big")


# resolution ------------------------------------------------------------------------------------
def test_a_server_without_a_static_mac_is_resolved():
    transfer = Transfer(config=NO_SERVER_MAC, arp=ARP)
    transfer.run().check()
    unit = transfer.pair.units[0]
    assert unit.unresolved == 1, "the first SYN has nowhere to go; TCP sends it again"
    ours, request, target = next(arp for arp in arps(transfer.pair, 1) if arp[0])
    assert target == b"\xff" * 6
    assert request == Arp(REQUEST, unit.mac, ip_number(VIP_1), bytes(6), ip_number(SERVER_IP))


def test_requests_end_when_nobody_answers_and_nothing_is_sent_nowhere():
    pair = FunctionalPair(config=NO_SERVER_MAC, arp=ARP)
    pair.server.arp.silent = True
    made = pair.client.connect(VIP_0, 80)
    pair.run(until=lambda: pair.units[0].neighbours.count["unanswered"] == 1)
    assert len([arp for arp in arps(pair, 1) if arp[0]]) == ARP["arp_retries"]
    assert not [frame for frame in pair.capture if frame.link == "server" and frame.data[:6] == bytes(6)]
    pair.server.arp.silent = False
    pair.server.listen(80, lambda connection, what: None)
    pair.run(until=lambda: made.was("established"), limit=20_000)


def test_a_static_mac_is_used_until_the_server_is_resolved_and_after_it_falls_silent():
    transfer = Transfer(arp=ARP)
    transfer.pair.server.arp.silent = True
    transfer.run().check()
    assert transfer.pair.units[0].unresolved == 0 and transfer.pair.units[0].neighbours.count["unanswered"]


def test_the_mac_of_an_address_in_use_is_asked_for_again():
    small = {"window": 2048}
    transfer = Transfer(up=400_000, down=0, arp=ARP | {"arp_age": 200}, client=small, server=small)
    transfer.run().check()
    polls = [target for ours, packet, target in arps(transfer.pair, 1) if ours and packet.operation == REQUEST]
    assert polls.count(transfer.pair.server.mac) >= 3 and transfer.pair.units[0].neighbours.count["confirmed"] >= 3


# what is learnt (RFC 826) ----------------------------------------------------------------------
@SIDES
@pytest.mark.parametrize("operation", [REQUEST, REPLY])
@pytest.mark.parametrize("for_us", [True, False])
def test_a_packet_for_us_makes_an_entry_and_any_other_only_changes_one(side, operation, for_us):
    pair = FunctionalPair(arp=ARP)
    unit, sender = pair.units[0], (CLIENT_IP, SERVER_IP)[side]
    target = ip_number((VIP_0, VIP_1)[side] if for_us else (VIP_1, VIP_0)[side])

    def say(mac):
        unit.frame(side, arp_frame(b"\xff" * 6, Arp(operation, mac_bytes(mac), ip_number(sender), bytes(6), target)))
    say("02:00:00:00:00:05")
    assert resolved(pair, side, sender) == (mac_bytes("02:00:00:00:00:05") if for_us else None)
    assert len(unit.log) == (for_us and operation == REQUEST)
    unit.neighbours.learn(side, ip_number(sender), 5, True)
    say(NEW)
    assert resolved(pair, side, sender) == mac_bytes(NEW)


def test_packets_on_other_networks_teach_nothing():
    pair = FunctionalPair(arp=ARP)
    for vip in (VIP_0, VIP_1):
        pair.units[0].frame(2, arp_frame(b"\xff" * 6, Arp(REQUEST, mac_bytes(NEW), 5, bytes(6), ip_number(vip))))
    assert not pair.units[0].neighbours.entries and not pair.units[0].neighbours.count and not pair.units[0].log


@SIDES
@pytest.mark.parametrize("operation", [REQUEST, REPLY])
def test_a_network_without_an_address_of_ours_has_none_that_we_answer_for(side, operation):
    """An address of 0 means that there is none: 0.0.0.0 is not ours, and no sender is believed."""
    pair = FunctionalPair(config={f"vip_{side}": 0})
    for target in (0, 5, ip_number((VIP_1, VIP_0)[side])):
        pair.units[0].frame(side, arp_frame(b"\xff" * 6, Arp(operation, mac_bytes(NEW), 5, bytes(6), target)))
    assert not pair.units[0].log and not pair.units[0].neighbours.entries and not pair.units[0].neighbours.count


# changes ---------------------------------------------------------------------------------------
@SIDES
@pytest.mark.parametrize("operation", [REQUEST, REPLY])
def test_live_connections_follow_a_mac_that_is_announced(side, operation):
    transfer = running()
    pair, moment = transfer.pair, transfer.pair.time
    pair.peers[side].replace_mac(NEW)
    pair.peers[side].arp.announce(operation)
    transfer.run().check()
    late = [frame for frame in pair.capture if frame.time > moment + 2 * pair.delay and frame.unit is not None
            and frame.link == ("client", "server")[side] and frame.data[12:14] == b"\x08\x00"]
    assert late and all(frame.data[:6] == mac_bytes(NEW) for frame in late)
    works(pair)


@SIDES
def test_a_mac_that_changes_without_a_word_is_found_by_the_next_poll(side):
    transfer = running()
    transfer.pair.peers[side].replace_mac(NEW)
    moment = transfer.pair.time
    transfer.run().check()
    assert transfer.pair.time - moment < 40_000
    requests = [target for ours, packet, target in arps(transfer.pair, side) if ours and packet.operation == REQUEST]
    assert requests[-2:] == [transfer.pair.peers[side].mac, b"\xff" * 6] or b"\xff" * 6 in requests


def test_without_resolution_a_changed_mac_kills_the_connection():
    """What the tests above would see if nothing were learnt."""
    transfer = running()
    transfer.pair.units[0].neighbours.learn = lambda *packet: None
    transfer.pair.units[0].neighbours.entries.clear()
    transfer.pair.units[0].neighbours.registers["arp_retries"] = 0
    transfer.pair.server.replace_mac(NEW)
    transfer.pair.server.arp.announce(REQUEST)
    got = len(transfer.server.received)
    transfer.run(until=lambda: transfer.pair.time > 60_000, limit=100_000)
    assert len(transfer.server.received) - got <= 8192, "what was on its way"


@SIDES
def test_a_gateway_whose_mac_changes_is_followed(side):
    """The peer is behind a gateway, and so outside the prefix: the gateway is asked for, never the peer."""
    far = ("172.16.5.9", "172.17.5.9")[side]
    near = (GATEWAY, "10.1.0.254")[side]
    addresses = [CLIENT_IP, SERVER_IP]
    addresses[side] = far
    arp = ARP | {f"prefix_{side}": 24, f"gateway_{side}": ip_number(near)}
    transfer = Transfer(up=30_000, down=30_000, close="both", arp=arp, config=NO_SERVER_MAC, addresses=addresses)
    pair = transfer.pair
    peer = pair.peers[side]
    peer.arp.also = {ip_number(near)}
    transfer.run(until=lambda: transfer.server is not None and len(transfer.server.received) > 10_000)
    assert resolved(pair, side, near) == peer.mac and resolved(pair, side, far) is None
    peer.replace_mac(NEW)
    peer.arp.announce(REQUEST, ip_number(near))
    transfer.run().check()
    assert pair.units[0].neighbours.count["changed"] == 1
    asked = {packet.target_ip for ours, packet, _ in arps(pair, side) if ours and packet.operation == REQUEST}
    assert asked <= {ip_number(near)}
    works(pair)


# takeover --------------------------------------------------------------------------------------
@SIDES
@pytest.mark.parametrize("config", [{}, NO_SERVER_MAC], ids=["static", "resolved"])
def test_a_standby_that_knows_nobody_asks_and_goes_on(side, config):
    """Its table is empty; until the answer frames go to the MAC addresses of the records."""
    transfer = running(config=config)
    transfer.pair.kill()
    transfer.run().check()
    survivor = transfer.pair.units[1]
    assert survivor.unresolved == 0, "the records have a MAC address of both peers"
    assert survivor.neighbours.count["requests"] and survivor.neighbours.count["learned"]
    moved = transfer.pair.peers[side]
    moved.replace_mac(NEW)
    moved.arp.announce(REPLY)
    works(transfer.pair)


@SIDES
def test_a_mac_that_changed_before_a_takeover_is_found_after_it(side):
    transfer = running()
    transfer.pair.peers[side].replace_mac(NEW)
    transfer.pair.peers[side].arp.announce(REQUEST)
    transfer.run(until=lambda: resolved(transfer.pair, side, (CLIENT_IP, SERVER_IP)[side]) == mac_bytes(NEW))
    transfer.pair.kill()
    transfer.run().check()
    assert transfer.pair.time < 60_000
    works(transfer.pair)


@SIDES
def test_a_mac_that_changes_during_a_takeover_is_found(side):
    transfer = running()
    transfer.pair.kill()
    transfer.pair.peers[side].replace_mac(NEW)
    transfer.pair.peers[side].arp.announce(REQUEST)     # nobody hears it
    transfer.run().check()


def test_the_server_is_heard_in_its_first_segment():
    """With no register and no answer from the standby's table, a record names where the SYN-ACK came from."""
    transfer = running(config=NO_SERVER_MAC)
    transfer.pair.server.arp.silent = True
    transfer.pair.kill()
    transfer.run().check()
    assert transfer.pair.units[1].unresolved == 0


def test_registers_of_the_server_mac_are_only_a_fallback():
    wrong = {"server_mac_hi": 0x0200, "server_mac_lo": 0x99}
    assert set(wrong) <= {c.name for c in CONFIG}
    transfer = Transfer(config=wrong, arp=ARP)
    transfer.run().check()


def test_arp_requests_of_the_program_reach_one_station_or_all():
    pair = FunctionalPair(arp=ARP)
    peer = RawPeer(pair, 1, SERVER_IP, "02:00:00:00:00:77")
    for target in (BROADCAST_MAC, 0x020000000077):
        pair.units[0].run({"kind": 2, "subtype": 0, "noflow": 1, "iface": 1, "src_ip": peer.ip,
                           "dst_ip": ip_number(VIP_1), "src_mac_hi": target >> 32, "src_mac_lo": target & 0xFFFFFFFF})
    peer.settle()
    assert [frame.data[:6] for frame in pair.capture] == [b"\xff" * 6, mac_bytes("02:00:00:00:00:77")]
    assert peer.replies == [Arp(REQUEST, pair.units[0].mac, ip_number(VIP_1), bytes(6), peer.ip)] * 2
