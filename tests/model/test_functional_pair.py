"""The RTL pair and the functional pair (the microcode in the instruction-set simulator) answer with the same segments.

Peers played by hand send both the same. Times, ports and ISNs differ; numbers are compared relative to the ISNs.
"""
import pytest

from spps.gen import preset_params
from spps_sim.backend.interface import FrameKind
from spps_sim.backend.simulation import Simulation
from spps_sim.checker import wire
from spps_sim.checker.wire import ACK, FIN, RST, SYN
from spps_sim.model.functional_pair import (
    CLIENT_IP,
    SERVER_IP,
    SERVER_MAC,
    VIP_0,
    VIP_1,
    FunctionalPair,
)
from spps_sim.model.tcp_scenarios import RawPeer
from spps_sim.peers.frames import (
    ip_number,
    mac_bytes,
    mss_option,
    tcp_frame,
    wscale_option,
)

pytestmark = pytest.mark.slow

TINY = preset_params("tiny")
C, S = 0, 1
ISN = {C: 0xFFFFFF00, S: 0x7FFFFFF0}        # both wrap or change sign within the script
MACS = ("02:00:00:00:00:02", SERVER_MAC)
CONFIG = {"mss": 1000, "window": 8192, "rcv_wscale": 1}
CLIENT, PORT = (ip_number(CLIENT_IP), 40000), 80


def text(length, start=0):
    return bytes((start + i) * 31 & 255 for i in range(length))


class RtlSide:
    """The RTL pair. say() puts a frame on a network, answers() waits and returns [(side, segment)]."""

    SETTLE = 4000

    def __init__(self):
        self.sim = sim = Simulation.of(TINY)
        mac = mac_bytes(SERVER_MAC)
        sim.configure({"hb_interval": 300, "mode": 1, "vip_0": ip_number(VIP_0), "vip_1": ip_number(VIP_1),
                       "server_ip": ip_number(SERVER_IP), "server_mac_hi": int.from_bytes(mac[:2], "big"),
                       "server_mac_lo": int.from_bytes(mac[2:], "big"), "tick_cycles": 1000,
                       "lease": 900, "takeover_after": 1200, "retransmit_after": 600, **CONFIG})
        sim.step(5000)
        sim.pop_frames()
        self.mac = bytes.fromhex("02005e5d5001")

    def say(self, side, frame):
        self.sim.push_frame(side, frame)

    def answers(self):
        self.sim.step(self.SETTLE)
        return [(f.side, segment) for f in self.sim.pop_frames()
                if f.kind is FrameKind.OUT and (segment := wire.parse_segment(f.data)) is not None]


class FunctionalSide:
    """The functional pair, the same way."""

    def __init__(self):
        self.pair = FunctionalPair(config=CONFIG, socket_bytes=TINY.socket_bytes)
        self.hosts = [RawPeer(self.pair, C, CLIENT_IP, MACS[C]), RawPeer(self.pair, S, SERVER_IP, MACS[S])]
        self.mac = self.pair.units[0].mac

    def say(self, side, frame):
        self.pair._from_peer(side, frame)

    def answers(self):
        first = self.hosts[C].settle()
        second, self.hosts[S].got = self.hosts[S].got, []
        return [(C, s) for s in first] + [(S, s) for s in second]


class Play:
    """Relative numbers to frames, and frames to relative numbers."""

    def __init__(self, under_test):
        self.under_test = under_test
        self.ours = {}              # side -> ISN of the pair
        self.server_leg = None      # address and port from which the pair has connected

    def say(self, side, flags, *, seq=0, ack=None, payload=b"", window=8192, options=b""):
        source, target = ((CLIENT, (ip_number(VIP_0), PORT)) if side == C
                          else ((ip_number(SERVER_IP), PORT), self.server_leg))
        number = 0 if ack is None else self.ours[side] + ack & 0xFFFFFFFF
        self.under_test.say(side, tcp_frame(self.under_test.mac, mac_bytes(MACS[side]), source, target,
                                            seq=ISN[side] + seq & 0xFFFFFFFF, ack=number, flags=flags, window=window,
                                            payload=payload, options=options))

    def answers(self):
        """Per side: (flags, seq, ack, window, payload, options), in order of emission."""
        said = {C: [], S: []}
        for side, segment in self.under_test.answers():
            assert segment.problems == []
            if segment.flags & SYN:
                self.ours.setdefault(side, segment.seq)
                if side == S:
                    self.server_leg = segment.src
            seq = (segment.seq - self.ours[side]) & 0xFFFFFFFF
            ack = (segment.ack - ISN[side]) & 0xFFFFFFFF if segment.flags & ACK else None
            options = {k: v for k, v in segment.options.items() if k in (2, 3)}
            said[side].append(
                (segment.flags, seq, ack, segment.window, segment.payload, tuple(sorted(options.items()))))
        return said


def script():
    """Steps of (side, flags, fields) said together; after each step all is let settle."""
    yield [(C, SYN, {"options": mss_option(700) + wscale_option(2)})]
    yield [(S, SYN | ACK, {"ack": 1, "options": mss_option(600) + wscale_option(0)})]
    yield [(C, ACK, {"seq": 1, "ack": 1})]
    yield [(C, ACK, {"seq": 1, "ack": 1, "payload": text(100)})]
    yield [(S, ACK, {"seq": 1, "ack": 101})]
    yield [(S, ACK, {"seq": 1, "ack": 101, "payload": text(600, 7)})]
    yield [(C, ACK, {"seq": 101, "ack": 601})]
    yield [(C, ACK, {"seq": 401, "ack": 601, "payload": text(300, 300)})]           # a gap before it
    yield [(C, ACK, {"seq": 101, "ack": 601, "payload": text(600)})]                # filled, overlapping
    yield [(S, ACK, {"seq": 601, "ack": 401})]                                      # a part
    yield [(S, ACK, {"seq": 601, "ack": 701})]
    yield [(C, ACK, {"seq": 1, "ack": 601, "payload": text(100)})]                  # an old duplicate
    # in the window, not exact: challenge ACK
    yield [(C, RST, {"seq": 900})]
    yield [(S, ACK, {"seq": 601, "ack": 5000})]                                     # of what was never sent
    yield [(S, ACK, {"seq": 601, "ack": 701, "window": 0})]
    yield [(C, ACK, {"seq": 701, "ack": 601, "payload": text(50, 3)})]              # into the closed window
    yield [(S, ACK, {"seq": 601, "ack": 701, "window": 4000})]
    yield [(S, ACK, {"seq": 601, "ack": 751})]
    yield [(S, ACK, {"seq": 601, "ack": 751, "payload": text(50)}),
           (C, ACK, {"seq": 751, "ack": 601, "payload": text(60)})]
    yield [(C, ACK, {"seq": 811, "ack": 651})]
    yield [(S, ACK, {"seq": 651, "ack": 811})]
    yield [(C, FIN | ACK, {"seq": 811, "ack": 651})]
    yield [(S, ACK, {"seq": 651, "ack": 812})]
    yield [(S, FIN | ACK, {"seq": 651, "ack": 812, "payload": text(20)})]
    yield [(C, ACK, {"seq": 812, "ack": 672})]


def test_the_rtl_emits_what_the_functional_model_emits():
    plays = [Play(RtlSide()), Play(FunctionalSide())]
    emitted = 0
    for number, step in enumerate(script()):
        for play in plays:
            for side, flags, fields in step:
                play.say(side, flags, **fields)
        rtl, model = (play.answers() for play in plays)
        for side in (C, S):
            assert rtl[side] == model[side], f"step {number} {[(s, f) for s, f, _ in step]}: side {side}"
            emitted += len(model[side])
    assert emitted >= 20
