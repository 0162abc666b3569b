"""Payload bytes per clock through a pair, between Python peers in simulated time; part of `spps bench`.

The rate is that of the middle of a transfer, from 15 % to 65 % of its bytes, so that neither the opening nor the end
counts. The limit is that of the datapath: width / 8 x MSS / (MSS + 54), less what the application at one end gives or
takes.
"""
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Any

from spps.params import PRESETS

from ..backend.simulation import Simulation
from ..campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from ..network.simulated import SimulatedNetwork
from ..peers import Endpoint, TcpConfig

__all__ = ["Case", "ROOMY", "cases", "measure", "measure_all", "table"]

HEADERS = 54            # Ethernet, IPv4 and TCP without options, bytes
TURN = 500              # cycles between two looks of the applications
FROM, TO = 0.15, 0.65
WINDOW = 65535          # the largest without a window scale, bytes
LIMIT = 4_000_000       # cycles that a case may take
#: retransmission timeouts of peers and unit, cycles: as in life, far above what a queue takes
RTO: dict[str, Any] = {"rto_initial": 400_000, "rto_min": 200_000, "rto_max": 1_600_000}
#: memory for windows of 64 KiB: with the sizes of a preset a window ends at its socket_bytes
ROOMY = {"socket_bytes": 65536, "pool_pages": (4096, 64, 32, 16), "scratch_pages": 1024, "event_queue": 256}


@dataclass(frozen=True)
class Case:
    """One transfer.

    Parameters
    ----------
    preset : str
        Of SppsParams.
    connections : int
        Open at the same time.
    ways : int
        1: from clients to servers. 2: both ways.
    mss : int
        Bytes of a segment.
    window : int
        Receive buffer of the peers, bytes; the unit's is the same as far as its memory allows. At most 65535, since
        there is no window scale; else ValueError.
    protected : bool
        With a standby; else it is dead and the active unit goes on alone.
    offer, drain : float, optional
        What all sources give, and what all destinations take, as a share of the datapath's limit; default: all.
    latency : int
        Of each link, cycles.
    sizes : dict
        Fields of SppsParams in place of the preset's.
    """

    preset: str
    connections: int = 4
    ways: int = 1
    mss: int = 1460
    window: int = WINDOW
    protected: bool = True
    offer: "float | None" = None
    drain: "float | None" = None
    latency: int = 10
    sizes: dict = field(default_factory=dict)

    def __post_init__(self):
        if not 0 < self.window <= WINDOW:
            raise ValueError(f"window {self.window}: must be 1..{WINDOW} bytes")

    def params(self):
        """Return the SppsParams."""
        return PRESETS[self.preset].replace(**self.sizes) if self.sizes else PRESETS[self.preset]

    def datapath(self):
        """Return the payload bytes per clock that the datapath carries, all directions together."""
        return self.params().data_bytes * self.mss / (self.mss + HEADERS)

    def limit(self):
        """Return the payload bytes per clock that are possible: those of the datapath and of the applications."""
        return self.datapath() * min(share for share in (1, self.offer, self.drain) if share is not None)

    def size(self):
        """Return the bytes each way of each connection: enough for a steady middle."""
        return max(20_000, min(400_000, 800_000 // self.connections)) // self.ways


class _Ends:
    """The applications of one direction: sources that write at a rate, destinations that read at a rate."""

    def __init__(self, size, offer, drain):
        self.size, self.offer, self.drain = size, offer, drain
        self.sources, self.given, self.may_give, self.may_take = [], {}, 0.0, 0.0

    def open(self, connection):
        self.sources.append(connection)
        self.given[id(connection)] = 0
        if self.offer is None:
            self._give(connection, self.size)

    def _give(self, connection, count):
        count = min(count, self.size - self.given[id(connection)])
        if count:
            self.given[id(connection)] += count
            connection.write(bytes(count))

    def turn(self, cycles, destinations):
        if self.offer is not None and self.sources:
            self.may_give += self.offer * cycles
            share = int(self.may_give) // len(self.sources)
            self.may_give -= share * len(self.sources)
            for connection in self.sources:
                self._give(connection, share)
        if self.drain is not None:
            self.may_take = min(self.may_take + self.drain * cycles, self.drain * TURN)
            for connection in sorted(destinations, key=lambda c: c.consumed):
                waiting = connection.queue.next - connection.consumed
                if waiting and self.may_take > 0:       # a buffer is read whole: what is too much is owed
                    self.may_take -= waiting
                    connection.read()


def _counters(sim, params):
    """Clocks of all cores of unit 0 by what they do, and the events that ended."""
    cores = [f"cluster_{c}_core{n}" for c in range(params.clusters) for n in range(params.cores)]
    clocks = {what: sum(sim.read(0, f"{core}_{what}_cycles") for core in cores) for what in ("busy", "stalled", "idle")}
    return clocks | {"events": sim.status()["done_0"]}


def measure(case):
    """Run a Case; returns its figures as a dict for JSON.

    Keys: those of Case and memory, bytes_per_clock, share_of_limit, retransmitted (segments, by the peers),
    core_clocks_per_event, cores_busy and cores_stalled (shares of the clocks of all cores), event_high_water.
    Raises RuntimeError when the transfer is not over after LIMIT cycles.
    """
    params = case.params()
    sim = Simulation.of(params)
    window = min(case.window, params.socket_bytes)
    scenario = Scenario(mss=case.mss, latency=case.latency, registers={"window": window, "half_open_limit": 1024})
    sim.configure(scenario.pair_registers() | {name: cycles // scenario.tick for name, cycles in RTO.items()})
    sim.step(8000)
    if not case.protected:
        sim.kill(1)
        sim.configure({"policy": 1, "grant": 1}, (0,))
        sim.step(5000)
    sim.pop_frames()
    sim.pop_marks()
    net = SimulatedNetwork(sim, case.latency, seed=1)
    config = TcpConfig(mss=case.mss, window=case.window, initial_window=100, **RTO)
    client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, config, 1)
    server = Endpoint("server", SERVER_MAC, SERVER, config, 1)
    net.attach(0, client)
    net.attach(1, server)
    way = case.datapath() / case.ways
    rates = [share and share * way for share in (case.offer, case.drain)]
    up, down = (_Ends(case.size(), *rates) for _ in range(2))

    def opened(ends, sends):
        def happened(connection, what):
            if what == "established":
                connection.reading = case.drain is None
                if sends:
                    ends.open(connection)
        return happened

    server.listen(5001, opened(down, case.ways == 2))
    for _ in range(case.connections):
        client.connect(VIP[0], 5001, on_event=opened(up, True))
    total, marks = case.size() * case.connections * case.ways, []
    received, begin = 0, sim.cycle
    now = begin
    while received < total:
        if sim.cycle - begin > LIMIT:
            raise RuntimeError(f"{case}: {received} of {total} bytes after {LIMIT} cycles")
        net.run_until(net.time + TURN)
        served, opening = server.all_connections(), client.all_connections()
        up.turn(sim.cycle - now, served)
        down.turn(sim.cycle - now, opening)
        now, received = sim.cycle, sum(len(c.received) for c in (*served, *opening))
        if len(marks) < 2 and received >= (FROM, TO)[len(marks)] * total:
            marks.append((now, received, _counters(sim, params)))       # reads take cycles: twice in a run
    (begun, before, first), (ended, after, last) = marks
    spent = {name: last[name] - first[name] for name in first}
    clocks = ended - begun
    rate = (after - before) / clocks
    cores = clocks * params.total_cores
    return {
        **asdict(case), "memory": params.socket_memory, "bytes_per_clock": round(rate, 3),
        "share_of_limit": round(rate / case.limit(), 3),
        "retransmitted": sum(c.counters["retransmitted"] for end in (client, server) for c in end.all_connections()),
        "core_clocks_per_event": round((spent["busy"] + spent["stalled"]) / max(spent["events"], 1), 1),
        "cores_busy": round(spent["busy"] / cores, 3), "cores_stalled": round(spent["stalled"] / cores, 3),
        "event_high_water": sim.read(0, "event_high_water"),
    }


def cases(preset):
    """Return the Cases of a preset: connections, ways and protection crossed; then one thing changed at a time."""
    most = PRESETS[preset].connections
    counts = [n for n in (1, 4, 16, 64) if n <= most]
    yield from (Case(preset, n, ways) for ways in (1, 2) for n in counts)
    yield from (Case(preset, n, protected=False) for n in counts)
    many = counts[-1]
    yield from (Case(preset, many, ways, mss=536) for ways in (1, 2))
    yield from (Case(preset, n, ways, window=8192) for ways in (1, 2) for n in (1, many))
    yield from (Case(preset, many, ways, window=8192, drain=0.5) for ways in (1, 2))
    yield from (Case(preset, many, ways, offer=0.5) for ways in (1, 2))
    if preset == "tiny":
        yield from (Case(preset, n, ways, window=window, sizes=ROOMY)
                    for window in (32768, 65535) for ways in (1, 2) for n in counts)
        yield from (Case(preset, many, ways, window=8192, drain=0.5, sizes=ROOMY) for ways in (1, 2))


def measure_all(wanted, processes=None, done=lambda: None):
    """Run Cases in processes of their own, one per processor by default; returns their figures in order.

    done: called after each case. The simulations have to be there: what is missing each process builds for itself.
    """
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = [pool.submit(measure, case) for case in wanted]
        for future in as_completed(running):
            future.result()
            done()
    return [future.result() for future in running]


def table(figures):
    """Return a Markdown table of figures as measure() returns them."""
    lines = ["| preset | connections | ways | MSS | window | what else | payload bytes per clock | of the limit | "
             "core clocks per event | retransmitted |", "|---|---|---|---|---|---|---|---|---|---|"]
    for f in figures:
        kept = {"the standby is dead": not f["protected"], "slow sources": f["offer"], "slow destinations": f["drain"],
                "memory for 64 KiB windows": f["sizes"]}
        lines.append(f"| {f['preset']} | {f['connections']} | {f['ways']} | {f['mss']} | {f['window']} | "
                     f"{', '.join(what for what, so in kept.items() if so) or '-'} | {f['bytes_per_clock']:.2f} | "
                     f"{f['share_of_limit']:.0%} | {f['core_clocks_per_event']:.0f} | {f['retransmitted']} |")
    return "\n".join(lines)
