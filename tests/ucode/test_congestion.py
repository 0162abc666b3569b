"""CUBIC against RFC 9438 in floating point: the curve, its cube root, the Reno-friendly region, fast convergence."""
import pytest

from spps_sim.model.tcp_legs import Leg
from spps_sim.peers.frames import mss_option

C, BETA = 0.4, 0.7
MSS = 1000


class Cubic:
    """RFC 9438 §4, windows in segments, times in seconds. Written from the RFC, not from the program."""

    def __init__(self, cwnd, c=C):
        self.cwnd, self.w_max, self.epoch, self.c = cwnd, 0.0, None, c
        self.ssthresh = float("inf")

    def lost(self, flight):
        self.w_max = self.cwnd * (1 + BETA) / 2 if self.cwnd < self.w_max else self.cwnd
        self.prior = self.cwnd
        self.ssthresh = max(flight * BETA, 2)
        self.cwnd, self.epoch = self.ssthresh, None

    def acked(self, segments, now, rtt):
        if self.cwnd < self.ssthresh:
            self.cwnd += min(segments, 1)
            return
        if self.epoch is None:
            self.epoch, self.w_est = now, self.cwnd
            if self.cwnd < self.w_max:
                self.k = ((self.w_max - self.cwnd) / self.c) ** (1 / 3)
            else:
                self.k, self.w_max = 0.0, self.cwnd
        t = now - self.epoch

        def cubic(at):
            return self.c * (at - self.k) ** 3 + self.w_max
        alpha = 1 if self.w_est >= self.prior else 3 * (1 - BETA) / (1 + BETA)
        self.w_est += alpha * segments / self.cwnd
        if cubic(t) < self.w_est:
            self.cwnd = max(self.cwnd, self.w_est)
        else:
            target = min(max(cubic(t + rtt), self.cwnd), 1.5 * self.cwnd)
            self.cwnd += (target - self.cwnd) / self.cwnd * segments


def opened():
    """A client leg with CUBIC and a window that limits nothing."""
    leg = Leg("client", options=mss_option(MSS) + bytes([1, 3, 3, 5]), window=1 << 15, defines=["CUBIC"],
              config={"window": 1 << 20, "rcv_wscale": 5})
    leg.open()
    return leg


def run_core(cwnd, w_max, rtt, seconds, acks=4, c=C):
    """Feeds `acks` ACKs per round trip straight to a leg in congestion avoidance after a loss at `w_max`.

    Returns (seconds since then, cwnd of the program, of the model) of every round trip.
    """
    leg = opened()
    unit, conn = leg.unit, 0
    words = unit.flowstates[conn]

    def put(name, value):
        words[leg.place(name)] = value & 0xFFFFFFFF
    model = Cubic(w_max, c)
    model.lost(cwnd / BETA)
    snd_una = leg.word("snd_una")
    top = snd_una + 40_000_000
    put("cwnd", cwnd * MSS)
    put("ssthresh", cwnd * MSS)
    put("cc_0", (w_max * MSS >> 6) << 15)
    put("cc_1", 0)
    put("srtt", rtt * 8)
    put("rttvar", rtt)
    put("snd_nxt", top)
    put("snd_max", top)
    put("snd_end", top)
    put("dup_acks", 0)
    words[11] = 0                               # not READY
    flags = leg.place("leg_flags")
    out = []
    now = leg.pair.time
    begin = now
    while now < begin + seconds * 1000:
        segments = max(1, round(model.cwnd / acks))
        for i in range(acks):
            leg.pair.time = now + rtt * i // acks
            snd_una += segments * MSS
            words = unit.flowstates[conn]
            words[flags] &= ~(1 << 5)           # no measurement
            words[leg.place("retries")] = 0
            unit.run({"kind": 1, "conn": conn, "seq": leg.nxt & 0xFFFFFFFF, "ack": snd_una & 0xFFFFFFFF,
                      "window": 0xFFFF, "tcp_flags": 16})
            unit.log.clear()
            model.acked(segments, (leg.pair.time - begin) / 1000, rtt / 1000)
        now += rtt
        out.append(((now - begin) / 1000, leg.word("cwnd") / MSS, model.cwnd))
    return out


@pytest.mark.parametrize("rtt, w_max, seconds", [(100, 100, 12), (20, 60, 4), (200, 40, 14), (500, 200, 14)])
def test_window_follows_the_curve_of_rfc_9438(rtt, w_max, seconds):
    """Within 3 % and one segment at every round trip: plateau at W_max, then convex growth."""
    curve = run_core(round(BETA * w_max), w_max, rtt, seconds)
    worst = max(curve, key=lambda point: abs(point[1] - point[2]))
    print(f"rtt {rtt} ms, W_max {w_max}: largest distance {worst}, end {curve[-1]}")
    assert all(abs(program - model) <= 1 + 0.03 * model for _, program, model in curve), worst
    assert curve[-1][1] > 1.05 * w_max or rtt < 100


def test_another_curve_would_be_noticed():
    curve = run_core(70, 100, 200, 10, c=0.9 * C)
    assert any(abs(program - model) > 1 + 0.03 * model for _, program, model in curve)


def test_short_round_trips_are_reno_friendly():
    """RTT 5 ms, small window: alpha segments per round trip (RFC 9438 §4.3), where the cubic curve would be slower."""
    curve = run_core(7, 10, 5, 1)
    per_trip = (curve[-1][1] - curve[0][1]) / (len(curve) - 1)
    assert 0.5 < per_trip < 1.05 and all(abs(p - m) <= 1 + 0.05 * m for _, p, m in curve)


def lossy(cwnd, w_max, flight):
    """The state after a loss at cwnd, with an earlier W_max; segments."""
    leg = opened()
    words, unit = leg.unit.flowstates[0], leg.unit
    snd_una = leg.word("snd_una")
    for name, value in (("cwnd", cwnd * MSS), ("ssthresh", cwnd * MSS), ("cc_0", (w_max * MSS >> 6) << 15),
                        ("snd_nxt", snd_una + flight * MSS), ("snd_max", snd_una + flight * MSS),
                        ("snd_end", snd_una), ("recover", snd_una), ("snd_wnd", 32)):
        words[leg.place(name)] = value & 0xFFFFFFFF
    words[11] = 0
    for _ in range(3):
        # a window of 1 << 5, and nothing to retransmit
        unit.run({"kind": 1, "conn": 0, "seq": leg.nxt, "ack": snd_una, "window": 1, "tcp_flags": 16})
    return leg.word("ssthresh") / MSS, (leg.word("cc_0") >> 15 << 6) / MSS


@pytest.mark.parametrize("cwnd, w_max, peak", [(100, 50, 100), (100, 120, 85), (100, 0, 100)])
def test_loss_sets_ssthresh_by_beta_and_w_max_with_fast_convergence(cwnd, w_max, peak):
    ssthresh, found = lossy(cwnd, w_max, 90)
    assert abs(ssthresh - 63) < 0.01 and abs(found - peak) <= 0.2


@pytest.mark.parametrize("gap", [1, 2, 7, 31, 100, 999, 4000, 8000])
def test_time_to_w_max_is_the_cube_root(gap):
    """K of the first ACK after a loss, exact to a tick: W_max is kept in units of 64 bytes."""
    leg = opened()
    words, unit = leg.unit.flowstates[0], leg.unit
    snd_una = leg.word("snd_una")
    cwnd = 10 * MSS
    units = cwnd + gap * MSS + 63 >> 6
    for name, value in (("cwnd", cwnd), ("ssthresh", cwnd), ("cc_0", units << 15), ("cc_1", 0),
                        ("snd_nxt", snd_una + 5000), ("snd_max", snd_una + 5000), ("snd_end", snd_una + 5000)):
        words[leg.place(name)] = value & 0xFFFFFFFF
    words[11] = 0
    unit.run({"kind": 1, "conn": 0, "seq": leg.nxt, "ack": snd_una + MSS, "window": leg.window, "tcp_flags": 16})
    k = leg.word("cc_0") & 0x7FFF
    expected = ((units * 64 - cwnd) / MSS / C) ** (1 / 3) * 1000
    assert abs(k - expected) <= 1 + 0.002 * expected


def test_fast_path_and_general_path_agree_with_cubic():
    from spps_sim.model.tcp_scenarios import Transfer

    def frames(*defines):
        transfer = Transfer(up=60_000, down=20_000, close="both", defines=["CUBIC", *defines],
                            config={"initial_window": 2, "window": 16384}, lose=lambda number, *_: number in (40, 90))
        transfer.run().check()
        return [(f.time, f.link, f.data) for f in transfer.pair.capture]
    assert frames() == frames("NO_FAST")
