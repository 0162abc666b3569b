"""The table of connections against Linux around the pair in RTL: tuples that come again, keepalive, idle limit, a full
table; and frames that are not for the pair.
"""
import errno
import select

import pytest

from spps_sim.checker.wire import ACK, RST, SYN, parse_segment
from spps_sim.network.testbed import Addresses, ip_number
from spps_sim.peers.frames import tcp_frame
from tests.linux.env_linux import CLIENT, ECHO, PORT, SERVER, Env
from tests.linux.linux_frames import flags
from tests.linux.linux_leg import LINGER, LinuxLeg

FIXED = 45_000          # source port that is used again and again
LONG = 100_000          # ticks of an MSL that no test outlives
#: Linux answers old numbers at most twice a second (tcp_invalid_ratelimit)
KEEPALIVE = {"cfg_keepalive": 700, "cfg_keepalive_interval": 600, "cfg_keepalive_probes": 3}
NOT_V = pytest.mark.parametrize("leg", ["C", "E"])


@pytest.fixture
def pair(request, privilege):
    """Env of a mode and registers."""
    mode, registers = request.param
    with Env(mode, **registers) as peers:
        peers.begin()
        yield peers


def with_registers(*modes, **registers):
    return pytest.mark.parametrize("pair", [(mode, registers) for mode in modes], indirect=True, ids=modes)


def read(peers, name):
    return peers.testbed.sim.read(0, name)


def from_fixed_port(peers, port, *options):
    made = peers.socket(CLIENT, *options)
    made.bind((Addresses.client, FIXED))
    peers.dial(made, CLIENT, port, limit=20)
    return made


def syns(peers):
    """Our SYN-ACKs towards the client, and its SYNs."""
    return (peers.passed(CLIENT, False, flags(SYN)), peers.passed(CLIENT, True, flags(SYN, ACK)))


@pytest.mark.parametrize("stamps", [0, 1])
@with_registers("proxy", cfg_msl=LONG)
def test_linux_connects_from_the_same_port_again_and_again_while_the_pair_is_in_time_wait(pair, stamps):
    """The server closes first, so that Linux forgets the tuple and the pair does not: one SYN for each connection."""
    listener = pair.listen()
    with pair.sysctl(CLIENT, "tcp_timestamps", stamps):
        for round_ in range(12):
            pair.mark()
            made = from_fixed_port(pair, PORT)
            accepted = pair.accept(listener)
            data = pair.bytes(2000)
            pair.moved(made, accepted, data)
            pair.moved(accepted, made, data)
            accepted.close()
            pair.ended(made)
            made.close()
            pair.settle(0.1)
            asked, answered = syns(pair)
            assert len(asked) == 1 and len(answered) == 1, (round_, asked, answered)
            assert read(pair, "in_use") == 1
    assert read(pair, "lookup_replayed") >= 11 and read(pair, "lookup_replay_lost") == 0


@with_registers("proxy", "endpoint", cfg_msl=LONG)
def test_linux_connects_again_right_behind_its_reset(pair):
    proxied = pair.mode == "proxy"
    listener = pair.listen() if proxied else None
    for round_ in range(12):
        pair.mark()
        made = from_fixed_port(pair, PORT if proxied else ECHO, LINGER)
        if proxied:
            pair.accept(listener)
        made.close()                            # RST, and at once
        made = from_fixed_port(pair, PORT if proxied else ECHO, LINGER)
        asked, answered = syns(pair)
        assert len(asked) == 2 and len(answered) == 2, (round_, asked, answered)
        if proxied:
            pair.accept(listener)
        made.close()
        pair.settle(0.1)
        assert read(pair, "in_use") == 0


@with_registers("proxy", "endpoint", **KEEPALIVE)
def test_linux_answers_keepalive_and_stays(pair):
    leg = LinuxLeg(pair, "C" if pair.mode == "proxy" else "E").at_rest()
    pair.run(4)
    probes = leg.ours(lambda s: not s.payload)
    assert len(probes) >= 3 and len(leg.theirs(flags(ACK))) >= len(probes)
    leg.works()


@with_registers("proxy", **KEEPALIVE)
def test_linux_that_has_vanished_is_given_up_and_the_other_linux_is_told(pair):
    leg = LinuxLeg(pair, "C").at_rest()
    pair.cut(SERVER, False)
    assert pair.error_of(leg.near) == errno.ECONNRESET
    pair.settle()
    assert read(pair, "in_use") == 0 and read(pair, "director_keepalive_ended") == 1


@with_registers("proxy", "endpoint", cfg_idle_limit=3500, **KEEPALIVE)
def test_linux_is_reset_at_the_idle_limit_although_it_answers(pair):
    leg = LinuxLeg(pair, "C" if pair.mode == "proxy" else "E").at_rest()
    for made in {leg.near, leg.far}:
        assert pair.error_of(made) == errno.ECONNRESET
    assert len(leg.ours(lambda s: not s.payload)) >= 2
    pair.settle()
    assert read(pair, "in_use") == 0 and read(pair, "director_idle_ended") == 1


@with_registers("proxy", cfg_msl=LONG)
def test_full_table_gives_up_the_oldest_in_time_wait_and_then_refuses_linux(pair):
    listener, size = pair.listen(), pair.testbed.sim.params.connections
    for _ in range(3):                          # in TIME-WAIT
        made = pair.socket(CLIENT)
        pair.dial(made)
        pair.accept(listener).close()
        pair.ended(made)
        made.close()
        pair.settle(0.1)
    assert read(pair, "in_use") == 3
    living = []
    for _ in range(size):
        pair.mark()
        made = pair.socket(CLIENT)
        pair.dial(made)
        living.append((made, pair.accept(listener)))
        assert len(syns(pair)[0]) == 1, "a SYN had to be repeated"
    assert read(pair, "in_use") == size and read(pair, "lookup_recycled") == 3
    with pytest.raises(ConnectionRefusedError):
        pair.dial(pair.socket(CLIENT))
    assert read(pair, "lookup_table_full") == 1
    pair.testbed.sim.write(0, "refuse_silently", 1)
    made = pair.socket(CLIENT)
    made.connect_ex((Addresses.vip[CLIENT], PORT))
    pair.run(1.5)
    assert select.select([], [made], [], 0) == ([], [], []) and read(pair, "lookup_refused") >= 2
    for made, accepted in living:
        pair.moved(made, accepted, b"alive")


# --- frames that are not for the pair

def test_linux_gets_no_answer_in_the_name_of_an_address_that_is_not_ours(proxy):
    """RFC 1122 §3.2.1.3: no RST in the name of 8.8.8.8, of broadcast, of the other side, and no event."""
    leg = LinuxLeg(proxy, "C").at_rest()
    last = proxy.last[CLIENT, False]
    count = read(proxy, "splitter_not_our_address")
    others = ("8.8.8.8", "10.77.1.255", Addresses.vip[SERVER], "10.77.1.0")
    segment = parse_segment(last)
    for address in others:
        for kind in (SYN, ACK, RST | ACK):
            frame = tcp_frame(last[:6], last[6:12], segment.src, (ip_number(address), PORT), flags=kind, seq=1, ack=2,
                              window=1000)
            proxy.forged.add(frame)
            proxy.testbed.sim.push_frame(CLIENT, frame)
    frames = len(proxy.frames)
    proxy.settle()
    assert read(proxy, "splitter_not_our_address") == count + 3 * len(others)
    assert not [f for f in proxy.frames[frames:] if f.unit is not None and f.link != "sync" and parse_segment(f.data)]
    leg.works()


def tagged(data, identifier):
    return data[:12] + b"\x81\x00" + identifier.to_bytes(2, "big") + data[12:]


@pytest.mark.parametrize("leg", ["C", "V", "E"], indirect=True)
def test_linux_behind_a_switch_that_tags_priorities_is_heard_and_other_tags_and_ipv6_are_counted(leg):
    peers, side = leg.peers, leg.side
    leg.at_rest()
    rule = peers.rule(lambda port, ours, segment, data: [(0, tagged(data, 0xA000))] if (port, ours) == (side, False)
                      else None)
    leg.works()
    peers.lift(rule)
    before = {name: read(peers, f"splitter_{name}") for name in ("unknown_vlan", "ipv6")}
    last = peers.last[side, False]
    for data in (tagged(last, 77), last[:12] + b"\x86\xdd" + bytes(50)):
        peers.testbed.sim.push_frame(side, data)
    peers.settle()
    assert read(peers, "splitter_unknown_vlan") == before["unknown_vlan"] + 1
    assert read(peers, "splitter_ipv6") >= before["ipv6"] + 1       # Linux may send its own
    leg.works()
