"""Planned switch-overs in a row under load, between Python peers in simulated time; part of `spps bench`.

All connections send both ways as fast as the windows let them. Every switch-over is followed by the next one as soon as
the pair is protected again. The monitor judges all frames, and the bytes are compared at the end.
"""
from dataclasses import replace
from statistics import median

from spps.failover.signature import SwitchVerdict
from spps.params import PRESETS

from ..backend.simulation import Simulation
from ..campaign.scenario import Scenario
from ..checker.capture import to_frame
from ..checker.monitor import check
from ..network.simulated import SimulatedNetwork
from .python import Hosts

__all__ = ["COUNT", "PRESET", "measure", "table"]

COUNT = 100
PRESET = "tiny"
CONNECTIONS = 4
SIZE, MORE = 13_000, 80_000        # bytes each way of a connection, per switch-over and besides
BEFORE = 100_000        # cycles under load without a switch-over, for comparison
TURN = 500
LIMIT = 200_000         # cycles that a switch-over, or the rejoin behind it, may take
END = 40_000_000        # cycles until every transfer is over
TIMES = {"hb_interval": 2000, "lease": 8000, "takeover_after": 12000, "retransmit_after": 2000}
#: of peers and pair, cycles: more than the round trip under load, and at 100 MHz a hundredth of what Linux waits
RTO = {"rto_initial": 400_000, "rto_min": 200_000, "rto_max": 1_000_000}


class _Load:
    """A pair with connections that send, and what is counted of them."""

    def __init__(self, params, connections, size):
        self.sim = sim = Simulation.of(params)
        scenario = Scenario(mss=1460, latency=200)
        scenario = replace(scenario, registers={"window": min(65535, params.socket_bytes), **TIMES,
                                                **{name: cycles // scenario.tick for name, cycles in RTO.items()}})
        sim.configure(scenario.pair_registers())
        sim.step(8000)
        sim.pop_frames()
        self.net = SimulatedNetwork(sim, scenario.latency, seed=1)
        self.frames = []
        self.net.on_frame, self.net.on_mark = self._frame, lambda mark: None
        self.hosts = Hosts(self.net, replace(scenario.peer_config(), **RTO), 1, connections, size)

    def _frame(self, raw):
        frame = None if raw.err else to_frame(raw)
        if frame is not None:
            self.frames.append(frame)

    def until(self, done, what, limit=LIMIT):
        """Run until done(); RuntimeError after `limit` cycles."""
        end = self.sim.cycle + limit
        while not done():
            if self.sim.cycle > end:
                raise RuntimeError(f"{what}: not over after {limit} cycles")
            self.net.run_until(self.sim.cycle + TURN)

    def protected(self, unit):
        """Whether the other unit has every connection of the active `unit`."""
        read = self.sim.read
        return (read(unit, "active") and read(unit, "lease_valid") and not read(unit, "resync")
                and not read(unit, "exposed") and not read(unit, "unprotected"))

    def gaps(self):
        """Return the longest time without new bytes per peer, cycles, since the last call."""
        longest = {"client": 0, "server": 0}
        for transfer in self.hosts.transfers:
            longest[transfer.role] = max(longest[transfer.role], transfer.gap())
        return longest

    def counted(self, name):
        """Return a counter of all connections of both peers."""
        return sum(connection.counters[name] for end in (self.hosts.client, self.hosts.server)
                   for connection in end.all_connections())


def measure(count=COUNT, params=None, connections=CONNECTIONS):
    """Return the figures of `count` switch-overs in a row as a dict for JSON.

    Times are cycles. gap_client, gap_server: longest time in which a connection of that peer got no new byte, with
    switch-overs; gap_before: the same without, of both. RuntimeError if one is not done.
    """
    params = params or PRESETS[PRESET]
    load = _Load(params, connections, SIZE * count + MORE)
    sim, active = load.sim, 0
    load.until(lambda: len(load.hosts.transfers) == 2 * connections and load.protected(0), "protection")
    load.gaps()
    load.net.run_until(sim.cycle + BEFORE)
    before = max(load.gaps().values())
    names = "timeouts", "retransmitted", "fast_retransmits", "probes"
    base = {name: load.counted(name) for name in names}
    began, clocks, holds, longest = sim.cycle, [], [], {"client": 0, "server": 0}
    for number in range(count):
        if any(transfer.over for transfer in load.hosts.transfers):
            raise RuntimeError(f"the load ended before switch-over {number + 1}: make SIZE larger")
        sim.write(active, "switch", 1)
        unit = active
        load.until(lambda unit=unit: sim.read(unit, "switch_verdict"), f"switch-over {number + 1}")
        verdict = SwitchVerdict(sim.read(unit, "switch_verdict"))
        if verdict != SwitchVerdict.DONE:
            raise RuntimeError(f"switch-over {number + 1}: {verdict.name}")
        clocks.append(sim.read(unit, "switch_clocks"))
        holds.append(sim.read(unit, "switch_hold_clocks"))
        active = 1 - active
        load.until(lambda unit=active: load.protected(unit), f"rejoin after switch-over {number + 1}")
        longest = {peer: max(gap, longest[peer]) for peer, gap in load.gaps().items()}
    cycles = sim.cycle - began
    events = {name: load.counted(name) - base[name] for name in names}
    load.until(lambda: load.hosts.over, "transfers", END)
    load.net.run_until(sim.cycle + 20_000)
    results = [transfer.result() for transfer in load.hosts.transfers]
    return {"switch_overs": count, "connections": connections, "cycles_each": round(cycles / count),
            "clocks_median": round(median(clocks)), "clocks_most": max(clocks), "hold_median": round(median(holds)),
            "hold_most": max(holds), "gap_before": before, "gap_client": longest["client"],
            "gap_server": longest["server"], **events, "transfers": len(results),
            "whole": sum(bool(result["ok"]) for result in results),
            "violations": len(check(load.frames).violations)}


def table(figures):
    """Return a Markdown table of figures as measure() returns them."""
    rows = (("switch_overs", "switch-overs in a row"), ("connections", "connections that send both ways"),
            ("whole", "transfers with the right bytes"), ("transfers", "of"),
            ("violations", "violations of the monitor"),
            ("timeouts", "retransmission timeouts of the peers"), ("retransmitted", "segments that peers sent again"),
            ("fast_retransmits", "fast retransmits of the peers"), ("probes", "window probes of the peers"),
            ("gap_client", "longest gap at the client, cycles"), ("gap_server", "longest gap at the server, cycles"),
            ("gap_before", "longest gap without switch-overs, cycles"),
            ("clocks_median", "request to hand-over, median, clocks"),
            ("clocks_most", "request to hand-over, most, clocks"),
            ("hold_median", "of it frames from outside wait, median, clocks"),
            ("hold_most", "of it frames from outside wait, most, clocks"),
            ("cycles_each", "request to protected again, mean, clocks"))
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {title} | {figures[key]} |" for key, title in rows)])
