"""Path MTU and ICMP (item 63 of hdl/spps/ucode/CHECKLIST.md), with Linux as host and router around the pair in RTL."""
import select
import socket
import struct
from contextlib import contextmanager

import pytest

from spps_sim.checker.wire import RST, SYN
from spps_sim.network.testbed import Addresses, ip_number
from spps_sim.peers.frames import unreachable_frame
from tests.linux.env_linux import CLIENT, PORT, SERVER, Env
from tests.linux.linux_frames import flags, with_data
from tests.linux.linux_leg import LinuxLeg
from tests.linux.linux_router import Behind

HEADERS = 40                # of a segment, without options
SIZE = 12_000


def count(peers, name, unit=0):
    return peers.testbed.sim.read(unit, name)


# --- echo

class Ping:
    """Echo requests of the kernel's own ping socket, which builds and checks ICMP."""

    def __init__(self, peers, side):
        self.peers, self.side = peers, side
        namespace = peers.testbed.namespaces[side]
        namespace.sysctl("ping_group_range", "0 0")
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        peers.sockets.append(self.socket)
        self.sequence = 0

    def send(self, data):
        self.sequence += 1
        self.socket.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, self.sequence) + data, (Addresses.vip[self.side], 0))

    def answered(self, data):
        """Wait for the answer to the last request."""
        self.peers.until(lambda: select.select([self.socket], [], [], 0)[0], f"an answer to {len(data)} bytes", 20)
        answer, source = self.socket.recvfrom(65536)
        kind, code, _, _, sequence = struct.unpack("!BBHHH", answer[:8])
        return (kind, code, sequence, answer[8:], source[0]) == (0, 0, self.sequence, data, Addresses.vip[self.side])


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_ping_is_answered_up_to_the_mtu(proxy, side):
    ping = Ping(proxy, side)
    before = count(proxy, "egress_echoes")
    sizes = (0, 1, 17, 18, 19, 56, 100, 548, 1471, 1472)
    for size in sizes:
        data = proxy.bytes(size)
        ping.send(data)
        assert ping.answered(data), size
    assert count(proxy, "egress_echoes") == before + len(sizes)


def test_ping_in_fragments_is_counted_and_not_answered(proxy):
    ping = Ping(proxy, CLIENT)
    answered, fragments = (count(proxy, name) for name in ("egress_echoes", "splitter_ip_fragment"))
    ping.send(proxy.bytes(1473))
    proxy.run(0.3)
    assert count(proxy, "egress_echoes") == answered and count(proxy, "splitter_ip_fragment") == fragments + 2


# --- a router with a smaller MTU

def largest(segments):
    return max((len(s.payload) for s in segments), default=0)


def connection(peers, name, behind):
    """The leg `name`, whose near end is the host behind the router."""
    leg = LinuxLeg(peers, name)
    if name == "V":
        listener = peers.socket(behind.host)
        listener.bind((behind.address, PORT))
        listener.listen(1)
        leg.far = peers.socket(CLIENT)
        peers.dial(leg.far)
        leg.near = peers.accept(listener)
    else:
        listener = peers.listen()
        leg.near = peers.socket(behind.host)
        peers.dial(leg.near)
        leg.far = peers.accept(listener)
    return leg


@contextmanager
def small_router(name, mtu):
    """Yield the peers and the leg `name`, between whose Linux and the pair there is a router of `mtu` bytes."""
    registers = {"server_ip": ip_number("10.99.2.2")} if name == "V" else {}
    with Env(**registers) as peers:
        router = peers.testbed.namespaces[SERVER if name == "V" else CLIENT]
        with Behind(router, 2 if name == "V" else 1, mtu) as behind:
            yield peers, connection(peers, name, behind)
            peers.clear()


@pytest.mark.parametrize("name", ["C", "V"])
@pytest.mark.parametrize("mtu", [1000, 576])
def test_a_transfer_passes_a_router_with_a_smaller_mtu(privilege, name, mtu):
    """Only the router's `fragmentation needed` tells the pair; without it the transfer would stand still for ever."""
    with small_router(name, mtu) as (peers, leg):
        leg.back(peers.bytes(SIZE))
        assert largest(leg.ours()) > mtu - HEADERS, "the pair knew the MTU before it was told"
        assert count(peers, "lookup_icmp_too_big") == 1
        peers.mark()
        leg.works()
        assert 0 < largest(leg.ours()) <= mtu - HEADERS
        assert count(peers, "lookup_icmp_too_big") == 1


@pytest.mark.parametrize("name", ["C", "V"])
def test_a_unit_that_takes_over_knows_the_smaller_mtu(privilege, name):
    with small_router(name, 1000) as (peers, leg):
        leg.back(peers.bytes(SIZE))
        peers.settle()
        peers.testbed.kill()
        peers.mark()
        leg.works()
        assert 0 < largest(leg.ours()) <= 1000 - HEADERS
        assert count(peers, "lookup_icmp_too_big", unit=1) == 0, "it had to be told"


# --- forged messages

@pytest.mark.parametrize("code, mtu", [(4, 600), (4, 0), (3, 0), (1, 0)])
def test_forged_messages_are_ignored_and_counted(leg, code, mtu):
    """Nothing is in flight; and a segment of a connection that does not exist."""
    leg.at_rest()
    quoted = leg.peers.last[leg.side, True]
    before = [count(leg.peers, name) for name in ("lookup_icmp_old", "lookup_icmp_noflow")]
    for seq in (None, 0, 1 << 31):
        leg.peers.testbed.sim.push_frame(leg.side, unreachable_frame(quoted, code=code, mtu=mtu, seq=seq))
    other = bytearray(quoted)
    other[37] ^= 1                              # another port
    leg.peers.testbed.sim.push_frame(leg.side, unreachable_frame(bytes(other), code=code, mtu=mtu))
    leg.peers.run(0.2)
    assert leg.ours() == []
    after = [count(leg.peers, name) for name in ("lookup_icmp_old", "lookup_icmp_noflow")]
    assert after == [before[0] + 3, before[1] + 1]
    leg.peers.mark()
    carry = leg.out if leg.name == "E" else leg.back
    carry(leg.peers.bytes(5000))
    assert largest(leg.ours(with_data)) > 600


@pytest.mark.parametrize("code, refused", [(3, True), (2, True), (1, False)])
def test_a_port_that_linux_rejects_refuses_the_client(proxy, code, refused):
    """As a firewall answers our SYN. A soft error leaves the attempt alone: Linux accepts the SYN that comes again."""
    listener = proxy.listen()
    met = proxy.once(SERVER, True, flags(SYN), lambda data: proxy.testbed.sim.push_frame(
        SERVER, unreachable_frame(data, code=code)) or [])
    made = proxy.socket(CLIENT)
    if refused:
        with pytest.raises(ConnectionError):
            proxy.dial(made)
        assert proxy.passed(CLIENT, True, lambda s: s.flags & RST) and met
        return
    proxy.dial(made)
    proxy.moved(made, proxy.accept(listener), b"hello")
    assert met
