"""What failover costs and how long it takes, between Python peers in simulated time; part of `spps bench`.

One run per number of connections, all of them open and sending both ways at a given rate: with a standby; the standby
dies, and the active goes on alone; the standby is switched on and joins; the active dies. The rate is one that the unit
carries without a queue, so that what failover costs is not hidden by what a queue costs.
"""
from spps.params import PRESETS

from ..backend.interface import FrameKind
from ..backend.simulation import Simulation
from ..campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from ..checker.wire import ACK, HEARTBEAT, parse_segment, parse_sync
from ..network.simulated import SimulatedNetwork
from ..peers import Endpoint, TcpConfig

__all__ = ["COUNTS", "Run", "measure", "table"]

COUNTS = (1, 16, 64, 256)
PRESET = "live"
SPAN = 60_000           # cycles over which goodput is counted
SHORT = 20_000          # at least, while a standby joins
TURN = 500              # cycles between two writes of the sources
OFFER = 0.6             # payload bytes per clock of all sources of a direction
LIMIT = 3_000_000       # cycles that opening or a rejoin may take
MSS = 1460
TIMES = {"hb_interval": 2000, "lease": 8000, "takeover_after": 12000, "retransmit_after": 2000}


class Run:
    """A pair with `connections` that send both ways, together OFFER bytes per clock each way.

    Parameters
    ----------
    connections : int
        Open at the same time.
    params : SppsParams
        Of the pair.
    pace : int
        Register resync_pace, clocks.
    """

    def __init__(self, connections, params, pace=500):
        self.sim = sim = Simulation.of(params)
        scenario = Scenario(mss=MSS, latency=10, registers={
            "window": min(8192, params.socket_bytes), "half_open_limit": 1024, "resync_pace": pace, **TIMES})
        sim.configure(scenario.pair_registers())
        sim.step(8000)
        sim.pop_frames()
        sim.pop_marks()
        self.net = SimulatedNetwork(sim, scenario.latency, seed=1)
        self.marks, self.sync_bytes, self.heartbeat, self.first = [], 0, {}, {}
        self._waiting, self.delays = {}, []     # (side, port, port) -> cycles of segments without an ACK
        self.net.on_frame, self.net.on_mark = self._frame, self.marks.append
        config = TcpConfig(mss=MSS, window=8192, initial_window=100, rto_initial=400_000, rto_min=200_000)
        self.client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, config, 1)
        self.server = Endpoint("server", SERVER_MAC, SERVER, config, 1)
        self.net.attach(0, self.client)
        self.net.attach(1, self.server)
        self.sources = [], []
        self.turn, self.may_give, self.offer = 0, [0.0, 0.0], 0

        def opened(sources):
            def happened(connection, what):
                if what == "established":
                    sources.append(connection)
            return happened

        self.server.listen(5001, opened(self.sources[1]))
        for _ in range(connections):
            self.client.connect(VIP[0], 5001, on_event=opened(self.sources[0]))
        self.until(lambda: all(len(sources) == connections for sources in self.sources), "opening")
        self.until(lambda: sim.read(0, "protect") and not sim.read(0, "resync"), "protection")
        self.offer = OFFER

    def _frame(self, raw):
        if raw.kind in (FrameKind.SYNC0, FrameKind.SYNC1):
            self.sync_bytes += len(raw.data)
            sync = parse_sync(raw.data)
            if sync and sync.type == HEARTBEAT:
                self.heartbeat[raw.unit] = raw.cycle
        segment = parse_segment(raw.data) if raw.kind in (FrameKind.IN, FrameKind.OUT) else None
        if segment is None:
            return
        if raw.kind is FrameKind.IN:
            if segment.length:
                flow = raw.side, segment.src, segment.dst
                self._waiting.setdefault(flow, []).append((segment.seq + segment.length & 0xFFFFFFFF, raw.cycle))
            return
        self.first.setdefault(raw.unit, raw.start)
        waiting = self._waiting.get((raw.side, segment.dst, segment.src), [])
        while segment.flags & ACK and waiting and (segment.ack - waiting[0][0]) & 0xFFFFFFFF < 1 << 31:
            self.delays.append(raw.start - waiting.pop(0)[1])

    def _give(self, cycles):
        """Each direction writes a segment after the other, connections in turn, at its rate."""
        for n, sources in enumerate(self.sources):
            self.may_give[n] += self.offer * cycles
            while self.may_give[n] >= MSS:
                self.may_give[n] -= MSS
                self.turn += 1
                sources[self.turn // 2 % len(sources)].write(bytes(MSS))

    def run_until(self, cycle):
        """Run to `cycle`, with sources that write."""
        while self.sim.cycle < cycle:
            before = self.sim.cycle
            self.net.run_until(min(cycle, before + TURN))
            self._give(self.sim.cycle - before)

    def received(self):
        """Payload bytes that have arrived at the peers."""
        return sum(len(c.received) for end in (self.client, self.server) for c in end.all_connections())

    def until(self, done, what):
        """Run until done(), which may read registers; RuntimeError after LIMIT cycles."""
        end = self.sim.cycle + LIMIT
        while not done():
            if self.sim.cycle > end:
                raise RuntimeError(f"{what}: not over after {LIMIT} cycles")
            self.run_until(self.sim.cycle + TURN)

    def goodput(self, done=None):
        """Payload bytes per clock over SPAN cycles, or until done(), at least SHORT."""
        before, start = self.received(), self.sim.cycle
        if done is None:
            self.run_until(start + SPAN)
        else:
            self.run_until(start + SHORT)
            self.until(done, "rejoin")
        return (self.received() - before) / max(self.sim.cycle - start, 1)


def measure(connections, params=None):
    """Return the figures of one number of connections as a dict for JSON.

    Keys: connections; protected, unprotected, resync: payload bytes per clock with the standby, without it, and while
    it gets the records; resync_clocks: from its joining to the confirmation of END; resync_share: of goodput kept;
    sync_bytes_per_byte: bytes on the sync link, both directions, per payload byte; ack_clocks, ack_clocks_unprotected:
    median from the last word of a segment to the first of the ACK that covers it; takeover_clocks: from the standby's
    deadline to its role; first_segment_clocks: from there to the first word of a frame.
    """
    params = params or PRESETS[PRESET]
    run = Run(connections, params)
    sim, figures = run.sim, {"connections": connections}
    run.goodput()
    run.sync_bytes, run.delays = 0, []
    before = run.received()
    figures["protected"] = round(run.goodput(), 3)
    figures["sync_bytes_per_byte"] = round(run.sync_bytes / max(run.received() - before, 1), 4)
    figures["ack_clocks"] = sorted(run.delays)[len(run.delays) // 2]
    sim.kill(1)
    run.until(lambda: sim.read(0, "unprotected"), "going on alone")
    run.goodput()
    run.delays = []
    figures["unprotected"] = round(run.goodput(), 3)
    figures["ack_clocks_unprotected"] = sorted(run.delays)[len(run.delays) // 2]
    sim.revive(1)
    run.until(lambda: sim.read(0, "joined"), "joining")
    figures["resync"] = round(run.goodput(lambda: not sim.read(0, "resync")), 3)
    figures["resync_clocks"] = sim.read(0, "resync_clocks")
    figures["resync_share"] = round(figures["resync"] / min(figures["protected"], figures["unprotected"]), 3)
    run.goodput()
    run.marks.clear()
    sim.kill(0)
    run.first.clear()
    run.until(lambda: sim.status()["active"] & 2 and 1 in run.first, "takeover")
    role = next(mark.cycle for mark in run.marks if mark.name == "active" and mark.value & 2)
    figures["takeover_clocks"] = role - run.heartbeat[0] - TIMES["takeover_after"]
    figures["first_segment_clocks"] = run.first[1] - role
    return figures


def table(figures):
    """Return a Markdown table of figures as measure() returns them."""
    columns = (("connections", "connections"), ("protected", "bytes/clock protected"), ("unprotected", "alone"),
               ("resync", "while a standby joins"), ("resync_clocks", "rejoin, clocks"),
               ("sync_bytes_per_byte", "sync bytes per byte"), ("ack_clocks", "clocks to an ACK"),
               ("ack_clocks_unprotected", "alone"), ("takeover_clocks", "deadline to role, clocks"),
               ("first_segment_clocks", "role to first segment"))
    lines = ["| " + " | ".join(title for _, title in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(str(f[key]) for key, _ in columns) + " |" for f in figures]
    return "\n".join(lines)
