"""Next hops (item 76 of hdl/spps/ucode/CHECKLIST.md): Linux hosts and gateways that change their MAC addresses."""
import socket

import pytest

from spps_sim.checker.capture import NS_PER_CYCLE
from spps_sim.network.testbed import Addresses, ip_number
from spps_sim.peers.frames import BROADCAST, Arp, arp_frame, parse_arp
from tests.linux.env_linux import CLIENT, PORT, SERVER, Env
from tests.linux.linux_leg import LinuxLeg

NO_SERVER_MAC = {"server_mac_hi": 0, "server_mac_lo": 0}
TIMES = {"arp_interval": 200, "arp_age": 1000, "arp_holdoff": 300}
SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER], ids=["client", "server"])
HOSTS = Addresses.client, Addresses.server
BEHIND = "10.88.1.2", "10.88.2.2"      # addresses that their hosts answer for as gateways
REQUEST, REPLY = 1, 2
_VIPS = tuple(ip_number(text) for text in Addresses.vip)


def replace_mac(peers, side, mac):
    """Give Linux another MAC address, at once and while connections live."""
    peers.testbed.namespaces[side].replace_mac(mac)
    assert peers.testbed.namespaces[side].mac == mac


def announce(peers, side, operation=REQUEST, mac=None):
    """Gratuitous ARP from the namespace, in either form."""
    own, ip = mac or peers.testbed.namespaces[side].mac, ip_number(HOSTS[side])
    target = bytes(6) if operation == REQUEST else BROADCAST
    with peers.testbed.namespaces[side].socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("net0", 0))
        raw.send(arp_frame(BROADCAST, Arp(operation, own, ip, target, ip)))


def requests(peers, side):
    """(ARP request of the pair, destination of its frame) on a network, announcements excluded."""
    return [(packet, frame.data[:6]) for frame in peers.frames
            if frame.link == Addresses.links[side] and frame.unit is not None
            and (packet := parse_arp(frame.data)) is not None and packet.operation == REQUEST
            and packet.target_ip != packet.sender_ip]


def targets(peers, side, since):
    """Where segments of the pair went on a network from a cycle on."""
    return {frame.data[:6] for frame in peers.frames if frame.link == Addresses.links[side] and frame.unit is not None
            and frame.time > since and frame.data[12:14] == b"\x08\x00"}


def soon(peers):
    """A time from which on no frame leaves that was made before."""
    return (peers.testbed.sim.cycle + 5000) * NS_PER_CYCLE


def dialled(peers, source=None):
    """(client socket, server socket) of a new connection; source: address that the client binds to."""
    listener = peers.socket(SERVER)
    listener.bind(("", PORT))
    listener.listen(8)
    made = peers.socket(CLIENT)
    if source:
        made.bind((source, 0))
    peers.dial(made)
    accepted = peers.accept(listener)
    listener.close()
    return made, accepted


def both_ways(peers, near, far, size=3000):
    leg = LinuxLeg(peers, "C")
    leg.near, leg.far = near, far
    leg.works(size)


def test_a_server_without_a_static_mac_is_resolved(privilege):
    with Env(**NO_SERVER_MAC, **TIMES) as peers:
        ends = dialled(peers)
        both_ways(peers, *ends, 40_000)
        packet, target = requests(peers, SERVER)[0]
        ours = next(frame.data[6:12] for frame in peers.frames if frame.unit is not None and frame.link == "server")
        assert target == BROADCAST
        assert packet == Arp(REQUEST, ours, _VIPS[SERVER], bytes(6), ip_number(Addresses.server))
        assert peers.testbed.sim.read(0, "egress_unresolved") == 1, "the first SYN"
        assert peers.testbed.sim.read(0, "neighbours_known") == 2
        # an address in use is polled, and Linux answers
        peers.run(2.5, lambda: both_ways(peers, *ends, 10))
        assert {target for _, target in requests(peers, SERVER)[1:]} == {peers.testbed.namespaces[SERVER].mac}
        assert peers.testbed.sim.read(0, "neighbour_confirmed") >= 2
        assert not peers.testbed.sim.read(0, "neighbour_unanswered")


@SIDES
@pytest.mark.parametrize("operation", [REQUEST, REPLY], ids=["request", "reply"])
def test_connections_follow_a_host_that_changes_its_mac(side, operation, privilege):
    new = bytes([2, 0xAB, side, operation, 0, 1])
    with Env(**TIMES) as peers:
        ends = dialled(peers)
        data = [peers.bytes(60_000), peers.bytes(60_000)]
        pushes = [peers.pushing(source, stream) for source, stream in zip(ends, data)]
        pulls = [peers.pulling(sink, stream) for sink, stream in zip(reversed(ends), data)]
        moved, since = [], []

        def step():
            for push in pushes:
                push()
            ready = all([pull() for pull in pulls])
            if not moved and len(peers.segments) > 60:
                replace_mac(peers, side, new)
                announce(peers, side, operation)
                moved.append(True)
            if moved and not since and peers.testbed.sim.read(0, "neighbour_changed"):
                since.append(soon(peers))
            return ready
        peers.until(step, "the transfer", 60)
        assert moved and since, "the MAC did not change in the transfer"
        both_ways(peers, *ends)
        assert targets(peers, side, since[0]) == {new}
        both_ways(peers, *dialled(peers))


@SIDES
def test_connections_follow_a_gateway_that_changes_its_mac(side, privilege):
    """The host is behind the gateway: only the gateway is ever asked for, and its MAC is used on every connection."""
    new = bytes([2, 0xAC, side, 0, 0, 1])
    registers = {f"prefix_{side}": 24, f"gateway_{side}": ip_number(HOSTS[side]), **NO_SERVER_MAC, **TIMES}
    if side == SERVER:
        registers["server_ip"] = ip_number(BEHIND[SERVER])
    with Env(**registers) as peers:
        peers.testbed.namespaces[side].add_address(BEHIND[side])
        source = BEHIND[CLIENT] if side == CLIENT else None
        ends = dialled(peers, source)
        both_ways(peers, *ends, 20_000)
        replace_mac(peers, side, new)
        announce(peers, side)
        peers.until(lambda: peers.testbed.sim.read(0, "neighbour_changed"), "the changed MAC")
        since = soon(peers)
        both_ways(peers, *ends, 20_000)
        both_ways(peers, *dialled(peers, source))
        assert targets(peers, side, since) == {new}
        assert {packet.target_ip for packet, _ in requests(peers, side)} <= {ip_number(HOSTS[side])}
        assert requests(peers, side) or side == CLIENT


@SIDES
def test_a_mac_that_changed_before_a_takeover_is_found_by_the_standby(side, privilege):
    """The records have the old one, and the standby's table is empty."""
    new = bytes([2, 0xAD, side, 0, 0, 1])
    with Env(**NO_SERVER_MAC, **TIMES) as peers:
        ends = dialled(peers)
        both_ways(peers, *ends)
        replace_mac(peers, side, new)
        announce(peers, side)
        peers.until(lambda: peers.testbed.sim.read(0, "neighbour_changed"), "the changed MAC")
        both_ways(peers, *ends)
        peers.testbed.kill()
        both_ways(peers, *ends, 20_000)
        assert peers.testbed.sim.read(1, "neighbour_requests") and not peers.testbed.sim.read(1, "egress_unresolved")
        # and one that changes after the takeover
        newer = bytes([2, 0xAE, side, 0, 0, 1])
        replace_mac(peers, side, newer)
        announce(peers, side, REPLY)
        peers.until(lambda: peers.testbed.sim.read(1, "neighbour_changed"), "the changed MAC")
        since = soon(peers)
        both_ways(peers, *ends, 20_000)
        both_ways(peers, *dialled(peers))
        assert targets(peers, side, since) == {newer}


def test_a_host_that_falls_silent_is_given_up_and_found_again(privilege):
    """With the default arp_age: our SYNs are further apart than TIMES would keep an address out of use."""
    with Env(**NO_SERVER_MAC, **TIMES | {"arp_age": 30_000}) as peers:
        server = peers.testbed.namespaces[SERVER]
        server.run(["ip", "link", "set", "net0", "arp", "off"])
        made = peers.socket(CLIENT)
        made.connect_ex((Addresses.vip[CLIENT], PORT))
        peers.until(lambda: peers.testbed.sim.read(0, "neighbour_unanswered") >= 2, "two rounds of requests")
        asked = len(requests(peers, SERVER))
        assert 6 <= asked <= 12 and peers.testbed.sim.read(0, "egress_unresolved")
        listener = peers.listen()
        server.run(["ip", "link", "set", "net0", "arp", "on"])
        peers.opened(made)
        both_ways(peers, made, peers.accept(listener))


def test_a_packet_that_is_not_for_us_makes_no_entry_and_a_lie_about_us_none(privilege):
    with Env(**TIMES) as peers:
        other = bytes([2, 0xAF, 0, 0, 0, 1])
        announce(peers, CLIENT, mac=other)      # nobody has asked, and nothing is known of it
        with peers.testbed.namespaces[CLIENT].socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("net0", 0))
            raw.send(arp_frame(BROADCAST, Arp(REPLY, other, _VIPS[CLIENT], BROADCAST, _VIPS[CLIENT])))
        peers.run(0.3)
        read = peers.testbed.sim.read
        assert read(0, "neighbour_unsolicited") == 1 and read(0, "splitter_address_conflict") == 1
        assert not read(0, "neighbours_known")
        both_ways(peers, *dialled(peers))
        assert targets(peers, CLIENT, 0) == {peers.testbed.namespaces[CLIENT].mac}
