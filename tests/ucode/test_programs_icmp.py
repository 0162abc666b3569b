"""Path MTU and ICMP errors about our segments (RFC 1191, RFC 5927, RFC 1122 §4.2.3.9), on each leg and at takeovers."""
import pytest

from spps_sim.checker.wire import ACK, Segment
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import Transfer
from spps_sim.peers.frames import mss_option, tcp_frame, unreachable_frame

LEGS = pytest.mark.parametrize("name", NAMES)
PROXIED = pytest.mark.parametrize("name", ["client", "server"])
ROUTER = 0x0A630001         # 10.99.0.1
HEADERS, STAMP = 40, 12     # of a segment, and of its timestamp
PLATEAUS = 8166, 4352, 2002, 1492, 1006, 508, 296, 68       # RFC 1191 §7.1, without those that no frame has


def opened(name, *, mss=1460, window=30_000, **kw):
    """A leg whose peer takes segments of `mss` bytes, and much of them."""
    config = {"window": 32_768, "mss": 9000} | kw.pop("config", {})
    leg = Leg(name, options=mss_option(mss), window=window, config=config, server={"mss": 1460}, client={"mss": 1460},
              socket_bytes=32_768, **kw)
    leg.open()
    return leg


def quote(leg, segment, *, mtu=0, code=4, seq=None, size=28):
    """A router tells the unit that it dropped a segment on this leg."""
    frame = tcp_frame(leg.mac, leg.gateway, segment.src, segment.dst, seq=segment.seq, ack=segment.ack,
                      flags=segment.flags, window=segment.window, payload=segment.payload,
                      options=bytes(STAMP if leg.timestamps else 0))
    leg.pair._from_peer(leg.port, unreachable_frame(frame, ROUTER, leg.dst[0], code=code, mtu=mtu, seq=seq, size=size))


def flight(leg, size):
    """Segments that the unit sends us of `size` bytes, of which we acknowledge none."""
    leg.far_write(bytes(n % 251 for n in range(size)))
    got = [s for s in leg.settle(40) if s.payload]
    assert got and got[0].seq == leg.rcv
    return got


def sizes(segments):
    return [len(s.payload) for s in segments]


def receive(leg, segments):
    """Acknowledge what the segments brought, which must be in order and without a gap."""
    data = leg.take(segments)
    leg.send()
    return data


@LEGS
@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize("mtu", [1400, 1280, 577])
def test_segments_become_smaller_and_all_is_sent_again_at_once(name, stamps, mtu):
    leg = opened(name, timestamps=stamps)
    lost = flight(leg, 4000)
    cwnd, room = leg.word("cwnd"), HEADERS + STAMP * stamps
    assert max(sizes(lost)) == 1460 - STAMP * stamps
    quote(leg, lost[1], mtu=mtu)
    again = [s for s in leg.settle(20) if s.payload]            # no timeout: a way there and back
    assert again[0].seq == lost[0].seq and max(sizes(again)) == mtu - room
    assert leg.word("cwnd") == cwnd and leg.word("retries") == 0 and not leg.word("leg_flags") >> 5 & 1, (
        "no congestion, no R2, no measurement")
    assert receive(leg, again) == bytes(n % 251 for n in range(4000))
    later = flight(leg, 3000)
    assert max(sizes(later)) == mtu - room and leg.unit.notes == {"icmp_too_big": 1}
    receive(leg, later)
    leg.settle()


@LEGS
def test_a_flight_of_messages_makes_one_retransmission(name):
    leg = opened(name)
    lost = flight(leg, 6000)
    for segment in lost:
        quote(leg, segment, mtu=1000)
    again = [s for s in leg.settle(40) if s.payload]
    assert sum(sizes(again)) == 6000 and receive(leg, again)
    assert leg.unit.notes == {"icmp_too_big": 1, "icmp_ignored": len(lost) - 1}
    leg.settle()


@LEGS
@pytest.mark.parametrize("distance", [-1, -100, 4000, 5000, 1 << 30, 1 << 31])
@pytest.mark.parametrize("mtu", [0, 600])
def test_a_forged_message_that_quotes_nothing_in_flight_is_ignored_and_counted(name, distance, mtu):
    leg = opened(name)
    lost = flight(leg, 4000)
    quote(leg, lost[0], mtu=mtu, seq=lost[0].seq + distance)
    assert leg.settle(20) == [] and leg.unit.notes == {"icmp_old": 1} and leg.word("mss") == 1460
    receive(leg, lost)
    leg.settle()
    quote(leg, lost[0], mtu=600)                # acknowledged by now
    assert leg.settle(20) == [] and leg.unit.notes == {"icmp_old": 2}


@LEGS
@pytest.mark.parametrize("what", ["src", "dst", "port", "length"])
def test_a_message_about_no_connection_is_dropped_and_counted(name, what):
    leg = opened(name)
    lost = flight(leg, 3000)
    (ours, source), (theirs, destination) = lost[0].src, lost[0].dst
    change = {"src": {"src": (ours ^ 1, source)}, "dst": {"dst": (theirs ^ 1, destination)},
              "port": {"dst": (theirs, destination ^ 1)}, "length": {}}[what]
    for field, value in change.items():
        setattr(lost[0], field, value)
    quote(leg, lost[0], mtu=600, size=27 if what == "length" else 28)
    assert leg.settle(20) == []
    assert leg.unit.notes == ({} if what == "length" else {"icmp_noflow": 1}) and leg.word("mss") == 1460


@LEGS
@pytest.mark.parametrize("code", [n for n in range(16) if n != 4])
def test_other_errors_never_touch_a_connection(name, code):
    leg = opened(name)
    lost = flight(leg, 3000)
    quote(leg, lost[0], mtu=600, code=code)
    assert leg.settle(20) == [] and leg.unit.notes == {"icmp_ignored": 1}
    receive(leg, lost)
    leg.settle()
    leg.send(payload=b"alive")
    leg.settle()
    assert leg.far_received() >= 5 and leg.word("mss") == 1460


@LEGS
@pytest.mark.parametrize("mtu", [1500, 1501, 9000, 65535])
def test_the_size_is_never_raised_by_a_message(name, mtu):
    leg = opened(name)
    lost = flight(leg, 3000)
    quote(leg, lost[0], mtu=mtu)
    assert leg.settle(20) == [] and leg.unit.notes == {"icmp_ignored": 1} and leg.word("mss") == 1460


@LEGS
@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize("mtu, floor, becomes", [
    (1, 576, 576), (68, 576, 576), (575, 576, 576), (1, 0, 68), (300, 0, 300), (67, 68, 68), (600, 1000, 1000)])
def test_the_floor_is_a_register(name, stamps, mtu, floor, becomes):
    leg = opened(name, timestamps=stamps, config={"pmtu_min": floor})
    quote(leg, flight(leg, 1500)[0], mtu=mtu)
    leg.settle(20)
    assert leg.word("mss") == becomes - HEADERS - STAMP * stamps
    quote(leg, flight(leg, 10)[0] if leg.word("snd_max") == leg.rcv else _oldest(leg), mtu=mtu)
    leg.settle(20)
    assert leg.word("mss") == becomes - HEADERS - STAMP * stamps and leg.unit.notes["icmp_too_big"] == 1


def _oldest(leg):
    """The segment at SND.UNA, as the unit would send it."""
    source, destination = (leg.dst, (leg.ip, leg.sport))
    return Segment(source, destination, leg.word("snd_una"), 0, ACK, 0, bytes(100))


@LEGS
@pytest.mark.parametrize("stamps", [False, True])
def test_without_a_next_hop_mtu_the_plateaus_of_rfc_1191_are_tried_in_turn(name, stamps):
    """A router before RFC 1191 says 0. The length it quotes may be more than what we sent (§5)."""
    leg = opened(name, mss=9000, timestamps=stamps, config={"pmtu_min": 68})
    flight(leg, 9000)
    found = []
    for _ in range(len(PLATEAUS) + 1):
        segment = _oldest(leg)
        segment.payload = bytes(9000)
        quote(leg, segment)
        leg.settle(20)
        found.append(leg.word("mss") + HEADERS + STAMP * stamps)
    assert found == [*PLATEAUS, 68]


@LEGS
def test_the_plateau_is_below_the_quoted_length(name):
    leg = opened(name)
    lost = flight(leg, 1460 + 700)
    assert sizes(lost) == [1460, 700]
    quote(leg, lost[1])                         # 740 bytes
    leg.settle(20)
    assert leg.word("mss") == 576 - HEADERS    # plateau 508, and the floor


@PROXIED
@pytest.mark.parametrize("code, refused", [(2, True), (3, True), (0, False), (1, False), (4, False), (5, False),
                                           (9, False), (13, False)])
def test_an_attempt_to_connect_ends_by_a_hard_error_only(name, code, refused):
    """RFC 1122 §4.2.3.9. The client leg sends no SYN of its own: its SYN-ACK is not refused by ICMP."""
    leg = Leg(name)
    leg.syn()
    ours = leg.first()
    ours.payload = b""
    quote(leg, ours, code=code, seq=ours.seq + 1)       # not in flight
    leg.settle(20)
    quote(leg, ours, code=code)
    leg.settle(60)
    if name == "server" and refused:
        assert leg.gone() and leg.reset() and leg.unit.notes == {"icmp_old": 1, "icmp_refused": 1}
        return
    assert leg.unit.notes == {"icmp_old": 1, "icmp_ignored": 1}
    leg.finish()
    leg.settle()
    assert leg.state[0] & 1


@LEGS
def test_a_message_in_fast_recovery_ends_it_without_another_reduction(name):
    leg = opened(name)
    lost = flight(leg, 8000)
    for _ in range(3):
        leg.send()
    leg.settle(20)
    assert leg.word("leg_flags") >> 6 & 1
    ssthresh = leg.word("ssthresh")
    quote(leg, lost[0], mtu=1200)
    again = [s for s in leg.settle(20) if s.payload]
    assert again[0].seq == lost[0].seq and max(sizes(again)) == 1160
    assert not leg.word("leg_flags") >> 6 & 1 and leg.word("cwnd") == leg.word("ssthresh") == ssthresh
    for _ in range(5):                          # duplicates of what is lost are no new loss
        leg.send()
    assert not any(s.payload and s.seq == lost[0].seq for s in leg.settle(20))


@LEGS
def test_a_message_after_a_timeout_counts_no_timeout(name):
    leg = opened(name)
    lost = flight(leg, 4000)
    leg.settle(1200)
    retries, cwnd = leg.word("retries"), leg.word("cwnd")
    assert retries and cwnd == 1460
    quote(leg, lost[0], mtu=600)
    again = [s for s in leg.settle(20) if s.payload]
    assert again[0].seq == lost[0].seq and max(sizes(again)) == 560
    assert (leg.word("retries"), leg.word("cwnd")) == (retries, cwnd)


@PROXIED
def test_a_message_waits_for_a_record_that_the_sync_port_does_not_take(name):
    leg = opened(name)
    lost = flight(leg, 3000)
    leg.unit.sync_ready = 0
    quote(leg, lost[0], mtu=1000)
    assert leg.settle(20) == []
    leg.unit.sync_ready = 1
    again = [s for s in leg.settle(20) if s.payload]
    assert again[0].seq == lost[0].seq and max(sizes(again)) == 960


@PROXIED
@pytest.mark.parametrize("how", ["lost", "record"])
@pytest.mark.parametrize("settle", [0, 30])
def test_the_size_survives_a_takeover(name, how, settle):
    """It is in the record; lost with the record, it is learnt again."""
    leg = opened(name)
    lost = flight(leg, 3000)
    quote(leg, lost[0], mtu=1000)
    leg.settle(7 + settle)
    leg.pair.kill(how)
    leg.settle(32)
    if how == "record" or settle:
        assert leg.word("mss") == 960
    quote(leg, lost[0], mtu=900)                # in flight for the unit that died, not for this one
    leg.settle(8)                               # the source has not sent it again yet
    assert leg.word("mss") in (960, 1460) and leg.unit.notes == {"icmp_old": 1}


@LEGS
def test_the_size_is_never_raised_again(name):
    leg = opened(name)
    quote(leg, flight(leg, 2000)[0], mtu=1000)
    receive(leg, leg.settle(20))
    leg.settle(2_000_000)
    assert max(sizes(flight(leg, 4000))) == 960


@PROXIED
def test_a_later_message_makes_it_smaller_again(name):
    leg = opened(name, timestamps=True)
    lost = flight(leg, 2000)
    for mtu in (1300, 1100, 1200, 900):
        quote(leg, lost[0], mtu=mtu)
        leg.settle(20)
    assert leg.word("mss") == 900 - HEADERS - STAMP
    assert leg.unit.notes == {"icmp_too_big": 3, "icmp_ignored": 1}


def test_what_the_program_is_never_given_changes_nothing():
    """The lookup drops messages without a flow."""
    leg = opened("client")
    before = list(leg.state)
    leg.unit.run({"kind": 3, "subtype": 4, "noflow": 1})
    assert leg.settle() == [] and leg.state == before


# --- whole transfers through a router with a smaller MTU

class Router:
    """Drops datagrams that the unit sends on one link if they are larger than the MTU, and says so.

    says: the next-hop MTU that it tells, by default the true one. deaf: so many messages get lost.
    """

    def __init__(self, link, mtu, says=None, deaf=0):
        self.link, self.mtu, self.says, self.deaf = link, mtu, mtu if says is None else says, deaf
        self.dropped, self.pair, self.sizes = 0, None, []

    def __call__(self, number, link, to_peer, data):
        length = int.from_bytes(data[16:18], "big")
        if not to_peer or link != self.link or data[23] != 6:
            return False
        if length <= self.mtu:
            self.sizes.append(length)
            return False
        self.dropped += 1
        assert data[20] & 0x40, "without DF"
        if self.dropped > self.deaf:
            answer = unreachable_frame(data, ROUTER, mtu=self.says)
            self.pair.at(self.pair.delay, lambda: self.pair._arrive(self.link, answer))
        return True


def through(router, size=40_000, **kw):
    """A transfer of `size` bytes each way through the router."""
    transfer = Transfer(up=size, down=size, lose=router, **kw)
    router.pair = transfer.pair
    return transfer


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("mtu, says", [(1400, None), (1006, 0), (576, None), (1499, None)])
@pytest.mark.parametrize("stamps", [False, True])
def test_a_transfer_passes_a_black_hole(link, mtu, says, stamps):
    router = Router(link, mtu, says)
    peers = {"timestamps": stamps}
    transfer = through(router, client=peers, server=peers)
    transfer.run()
    transfer.check()
    assert 0 < router.dropped < 40 and max(router.sizes) <= mtu and transfer.pair.time < 4000


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("how", ["lost", "record"])
def test_a_transfer_passes_a_black_hole_and_a_kill_at_any_event(link, how):
    for event in range(6, 90, 7):
        router = Router(link, 1000)
        transfer = through(router, 15_000)
        transfer.pair.kill_at = event, how
        transfer.run()
        transfer.check()
        assert router.dropped


def test_a_transfer_passes_a_router_whose_first_messages_get_lost():
    router = Router(1, 900, deaf=3)
    transfer = through(router)
    transfer.run()
    transfer.check()


# --- broken programs

def problems(define):
    """What a forger without the numbers, a hard error and a too large MTU do to a connection."""
    found = []
    for mtu, code, distance in ((600, 4, 70_000), (1500, 4, 0), (9000, 4, 0), (0, 3, 0)):
        leg = opened("server", defines=[define] if define else [])
        lost = flight(leg, 3000)
        quote(leg, lost[0], mtu=mtu, code=code, seq=lost[0].seq + distance)
        if leg.settle(20) or leg.gone() or leg.word("mss") != 1460:
            found.append((mtu, code, distance))
    return found


def test_the_program_itself_has_no_such_problem():
    assert problems(None) == []


@pytest.mark.parametrize("define", ["BROKEN_ICMP_BLIND", "BROKEN_ICMP_RAISES", "BROKEN_ICMP_HARD"])
def test_a_broken_program_is_noticed(define):
    assert problems(define)


