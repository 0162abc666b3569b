"""The demo with Python TCP endpoints in simulated time, for machines without TAP devices.

The transfer is that of `network.transfer`: each connection sends its number, then carries bytes both ways at once, then
FINs. Everything repeats from the seed, the kill to the cycle.
"""
import hashlib
import time

from spps.tools.paths import BUILD

from ..backend.keys import sync_keys
from ..campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from ..checker.capture import to_frame
from ..network.simulated import SimulatedNetwork
from ..network.transfer import stream_bytes
from ..peers import Endpoint, State, TcpConnection
from .run import DemoRun

__all__ = ["Hosts", "run_python_demo"]

PORT = 5001
CYCLES_PER_S = 100_000_000      # as captures are stamped
SLICE = 2000
QUIET = 20_000                  # cycles after the last close, so that the last ACKs cross
NUMBER = 4                      # bytes in front of the client's stream: which connection this is


class _Transfer:
    """One end of one connection, with what it has received."""

    def __init__(self, role, seed, size, now):
        self.role, self.seed, self.size, self._now = role, seed, size, now
        self.number: int | None = None
        self.connection: TcpConnection | None = None
        self.stall, self._last = 0, now()

    def happened(self, connection, what):
        """on_event of the connection."""
        self.connection = connection
        if what == "established" and self.number is not None:       # the client's, which is known before
            stream = stream_bytes(self.seed, self.number, "up", self.size)
            self._send(connection, self.number.to_bytes(NUMBER, "big") + stream)
        elif what == "data" and self.role == "server" and self.number is None and len(connection.received) >= NUMBER:
            self.number = int.from_bytes(connection.received[:NUMBER], "big")
            self._send(connection, stream_bytes(self.seed, self.number, "down", self.size))
        if what in ("established", "data", "fin"):
            if what != "established":
                self.stall = max(self.stall, self._now() - self._last)
            self._last = self._now()

    @staticmethod
    def _send(connection, outgoing):
        connection.write(outgoing)
        connection.close()

    @property
    def received(self):
        if self.connection is None:
            return b""
        return bytes(self.connection.received[NUMBER if self.role == "server" else 0:])

    @property
    def progress(self):
        return len(self.connection.received) if self.connection is not None else 0

    def gap(self):
        """Return the longest time without new bytes since the last call, cycles; `stall` begins again."""
        now = self._now()
        longest = max(self.stall, now - self._last)
        self.stall, self._last = 0, now
        return longest

    @property
    def over(self):
        return self.connection is not None and (self.connection.finished or self.connection.state is State.CLOSED)

    def result(self):
        """Return what the processes of network.transfer print."""
        theirs = "down" if self.role == "client" else "up"
        received = self.received
        result = {"role": self.role, "connection": self.number if self.number is not None else -1,
                  "received": len(received), "received_sha256": hashlib.sha256(received).hexdigest(),
                  "stall": self.stall / CYCLES_PER_S}
        if self.number is not None:
            expected = stream_bytes(self.seed, self.number, theirs, self.size)
            result["expected_sha256"] = hashlib.sha256(expected).hexdigest()
        wrong = [what for what in ("reset", "refused", "timeout", "reset_half_open")
                 if self.connection is not None and self.connection.was(what)]
        result["ok"] = result["received_sha256"] == result.get("expected_sha256") and not wrong and self.over
        if wrong or not self.over:
            result["error"] = wrong[0] if wrong else "did not end"
        return result


class Hosts:
    """A client and a server with all their transfers.

    Parameters
    ----------
    net : SimulatedNetwork
        The network they are attached to.
    config : TcpConfig
        Of both.
    seed, connections, size : int
        Of the payload; number of connections; bytes each way of each.
    """

    def __init__(self, net, config, seed, connections, size):
        def now():
            return net.time
        self.client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, config, seed)
        self.server = Endpoint("server", SERVER_MAC, SERVER, config, seed)
        net.attach(0, self.client)
        net.attach(1, self.server)
        self.accepted = {}              # connection of the server -> _Transfer

        def serve(connection, what):
            if what == "established":
                self.accepted[id(connection)] = _Transfer("server", seed, size, now)
            if id(connection) in self.accepted:
                self.accepted[id(connection)].happened(connection, what)

        self.server.listen(PORT, serve)
        self.opened = []
        for number in range(connections):
            transfer = _Transfer("client", seed, size, now)
            transfer.number = number
            transfer.connection = self.client.connect(VIP[0], PORT, on_event=transfer.happened)
            self.opened.append(transfer)

    @property
    def transfers(self):
        """Both ends of all connections so far."""
        return self.opened + list(self.accepted.values())

    @property
    def over(self):
        """Whether all transfers are over."""
        return len(self.accepted) >= len(self.opened) and all(t.over for t in self.transfers)


def run_python_demo(sim, params, *, seed=None, connections=4, size=1 << 16, out=BUILD / "demo",
                    limit=100_000_000, waves=False, trace=None, image=None, console=None):
    """Run the demo over Python endpoints.

    Parameters
    ----------
    sim : Simulation
        Not yet configured; with `waves` it must be able to trace.
    params : SppsParams
        Of the pair.
    seed, connections, size, out, waves, trace, image, console
        See DemoRun.
    limit : int
        Cycles.

    Returns
    -------
    dict
        The summary, with the keys of run_demo, after writing it.
    """
    with DemoRun(sim, "python", seed=seed, connections=connections, size=size, out=out, waves=waves, trace=trace,
                 image=image, console=console) as run:
        scenario = Scenario(mss=1460, registers={"window": min(65535, params.socket_bytes), **sync_keys(run.seed)})
        sim.configure(scenario.pair_registers())
        sim.step(5000)              # table sweep, first heartbeats
        sim.pop_frames()
        net = SimulatedNetwork(sim, scenario.latency, seed=run.seed)

        def on_frame(raw):
            frame = None if raw.err else to_frame(raw)
            if frame is not None:
                run.record(frame.link, frame.unit, raw.cycle, raw.data)

        def kill():
            unit = sim.active()
            if unit is None:
                raise RuntimeError(f"no unit is active at cycle {sim.cycle}")
            sim.kill(unit)
            return unit, sim.cycle

        net.on_frame = on_frame
        net.on_mark = run.mark
        run.begin(kill, sim.revive)
        hosts = Hosts(net, scenario.peer_config(), run.seed, connections, size)
        started, first, end = time.monotonic(), sim.cycle, sim.cycle + limit
        while not hosts.over and sim.cycle < end:
            upcoming = run.next_action()
            end_of_slice = sim.cycle + SLICE
            net.run_until(end_of_slice if upcoming is None else max(sim.cycle + 1, min(end_of_slice, upcoming)))
            run.advance(sum(t.progress for t in hosts.transfers))
        net.run_until(sim.cycle + QUIET)
        rate = (sim.cycle - first) / max(time.monotonic() - started, 1e-9)
        return run.conclude([t.result() for t in hosts.transfers], rate=rate)
