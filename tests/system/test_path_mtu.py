"""Path MTU and ICMP echo of the pair in RTL between Python peers: a router with a smaller MTU, kills, and ping."""
import pytest

from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.scenario import CLIENT, VIP, Scenario, Trial
from spps_sim.checker.wire import parse_segment
from spps_sim.network.links import FaultyLink
from spps_sim.peers.frames import echo_frame, ip_number, unreachable_frame

MTU, HEADERS = 1000, 40
SIZE = 40_000                   # bytes each way
ROUTER = ip_number("10.3.0.1")


class Router(FaultyLink):
    """In place of the links of a Trial: drops what the pair sends on one of them if it is too large, and says so."""

    def __init__(self, trial, port, mtu=MTU):
        super().__init__(None, 0)
        self.trial, self.port, self.mtu, self.dropped = trial, port, mtu, 0

    def carry(self, data, tell=lambda fate: None):
        ours = data[26:30] == ip_number(VIP[self.port]).to_bytes(4, "big") and data[23] == 6
        if not ours or int.from_bytes(data[16:18], "big") <= self.mtu:
            return super().carry(data, tell)
        self.dropped += 1
        net = self.trial.net
        net._clock.plan(net.time + 2 * net.latency, self.trial.sim.push_frame, self.port,
                        unreachable_frame(data, ROUTER, mtu=self.mtu))
        return []


def transfer(port):
    """A transfer of which one link has a router with a smaller MTU."""
    trial = Trial(Scenario(up=SIZE, down=SIZE, mss=1460, limit=5_000_000))
    trial.start()
    trial.net.link = router = Router(trial, port)
    return trial, router


def sizes(trial, port, unit):
    """Payload bytes of the segments of a unit on a link, in the order in which they left."""
    return [len(s.payload) for raw in trial.frames if raw.kind is FrameKind.OUT and (raw.side, raw.unit) == (port, unit)
            and (s := parse_segment(raw.data)) and s.payload]


@pytest.mark.parametrize("port", [0, 1])
def test_a_transfer_passes_a_router_with_a_smaller_mtu(port):
    trial, router = transfer(port)
    trial.finish()
    assert trial.failures() == []
    assert router.dropped and trial.sim.read(0, "lookup_icmp_too_big") == 1
    assert trial.sim.read(0, "lookup_icmp_ignored") + trial.sim.read(0, "lookup_icmp_old") == router.dropped - 1
    found = sizes(trial, port, 0)
    assert max(found) == 1460 and max(found[len(found) // 2:]) == MTU - HEADERS


@pytest.mark.parametrize("port", [0, 1])
@pytest.mark.parametrize("kill", [0, 300, 700, 2500])
def test_the_smaller_size_survives_a_kill(port, kill):
    """kill: cycles after the first message of the router reached the pair."""
    trial, router = transfer(port)
    trial.net.run_until(trial.begin + 1_000_000, lambda: trial.sim.read(0, "lookup_icmp_too_big"))
    trial.run_until(trial.net.time + kill)
    trial.kill()
    dropped = router.dropped
    trial.finish()
    assert trial.failures() == []
    found = sizes(trial, port, 1)
    assert found and trial.sim.read(1, "lookup_icmp_too_big") <= (kill < 700)
    if kill >= 700:             # the record had left
        assert max(found) == MTU - HEADERS and router.dropped == dropped


def test_echo_requests_are_answered_beside_a_transfer():
    trial = Trial(Scenario(up=SIZE, down=SIZE, mss=1460, limit=5_000_000, registers={"echo_limit": 2}))
    trial.start()
    trial.net.run_until(trial.begin + 100_000, lambda: len(trial.connection.received) > 2000)
    ours = next(raw.data for raw in trial.frames if raw.kind is FrameKind.IN and parse_segment(raw.data))[:6]
    mac, host, asked = b"\2\0\0\0\0\x77", ip_number(CLIENT) + 7, []
    for n, size in enumerate((0, 18, 56, 300, 1000, 1472)):
        payload = bytes((n + i) % 256 for i in range(size))
        asked.append(payload)
        trial.sim.push_frame(0, echo_frame(ours, mac, host, ip_number(VIP[0]), payload, sequence=n))
        trial.run_until(trial.net.time + 4000)
    for n in range(40):         # more than the limit
        trial.sim.push_frame(0, echo_frame(ours, mac, host, ip_number(VIP[0]), b"flood", sequence=100 + n))
    trial.finish()
    assert trial.failures() == []
    answers = [raw.data for raw in trial.frames
               if raw.kind is FrameKind.OUT and raw.data[:6] == mac and raw.data[23] == 1]
    first = [data[42:14 + int.from_bytes(data[16:18], "big")] for data in answers[:len(asked)]]
    assert first == asked and all(data[34:36] == b"\0\0" for data in answers)
    counters = {name: trial.sim.read(0, f"echo_{name}") for name in ("answered", "limited", "busy", "standby")}
    assert counters["answered"] == len(answers) == trial.sim.read(0, "egress_echoes") and counters["limited"] > 10
    assert sum(counters.values()) == trial.sim.read(0, "splitter_icmp_echo") == len(asked) + 40
    assert trial.sim.read(1, "egress_echoes") == 0
