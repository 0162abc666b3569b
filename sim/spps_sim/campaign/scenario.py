"""One short transfer through a pair, ended by FINs both ways; the unit of every campaign."""
import random
from dataclasses import dataclass, field, replace

from spps.tools.paths import spps_command

from ..backend.interface import FrameKind
from ..backend.keys import sync_keys
from ..backend.simulation import Simulation
from ..checker.capture import NS_PER_CYCLE, CaptureSet, to_frame
from ..checker.monitor import check
from ..network.links import LinkFaults
from ..network.simulated import SimulatedNetwork
from ..peers import Endpoint, State, TcpConfig
from ..peers.frames import ip_number, mac_bytes
from ..testbench.replay import trace_run, waves_wanted

__all__ = ["Scenario", "Trial", "FAULTS"]

#: what `spps campaign` has no option for
UNNAMED = ("registers", "rto_max", "retries", "waves", "library")

FAULTS = {
    "none": LinkFaults(), "loss": LinkFaults(loss=0.03), "duplicate": LinkFaults(duplicate=0.05),
    "reorder": LinkFaults(reorder=0.1), "corrupt": LinkFaults(corrupt=0.03),
    "mixed": LinkFaults(loss=0.02, duplicate=0.03, reorder=0.05, corrupt=0.01),
}
#: retransmission timeouts of peers and pair, cycles
TIMEOUTS = {"rto_initial": 10_000, "rto_min": 5_000, "rto_max": 40_000}
#: time in which a unit that has taken over must be heard of, ns
RESUME_BOUND = 20_000_000
CLIENT, SERVER, SERVER_MAC = "10.1.0.2", "10.2.0.2", "02:00:00:00:00:05"
VIP = ("10.1.0.1", "10.2.0.1")


@dataclass(frozen=True)
class Scenario:
    """What happens in a case; a run repeats from these values.

    Parameters
    ----------
    preset : str
        Of SppsParams, or "fake" for a pair without RTL.
    seed : int
        Of payload and faults.
    up, down : int
        Bytes from client to server, and back.
    mss : int
        Maximum segment size of peers and pair, bytes.
    timestamps : bool
        Peers use TCP timestamps.
    sack : bool
        Peers use SACK.
    wscale : int, optional
        Window scale that peers and pair announce; None: neither peer offers it.
    close : str
        Who ends first: "client", "server" or "both".
    half_close : bool
        The side that ends last sends the second half of its bytes only after the FIN of the other one.
    fault : str
        Key of FAULTS: what the links do.
    latency : int
        Of each link, cycles.
    tick : int
        Cycles of a timer tick of the pair.
    msl : int
        Half of TIME-WAIT, of peers and pair, cycles.
    limit : int
        Cycles that a case may take.
    rto_max : int
        Longest retransmission timeout of peers and pair, cycles. A FIN that is sent again meets TIME-WAIT if this is
        less than twice `msl`.
    retries : int
        Retransmissions of one segment after which a peer gives the connection up.
    registers : dict
        Further registers by name.
    defines : tuple
        Of a variant of the microcode to load into both units.
    waves : str
        Kind of waveform the library can write: "", "fst" or "vcd".
    library : str
        Path of a built library, so that shards need not look at the sources; default: build it.

    Raises
    ------
    ValueError
        When `close` or `fault` is none of these.
    """

    preset: str = "tiny"
    seed: int = 1
    up: int = 3000
    down: int = 3000
    mss: int = 536
    timestamps: bool = False
    sack: bool = False
    wscale: int | None = None
    close: str = "client"
    half_close: bool = False
    fault: str = "none"
    latency: int = 100
    tick: int = 100
    msl: int = 20_000
    limit: int = 3_000_000
    rto_max: int = TIMEOUTS["rto_max"]
    retries: int = 12
    registers: dict = field(default_factory=dict)
    defines: tuple = ()
    waves: str = ""
    library: str = ""           # a built library, so that shards need not look at the sources; default: build it

    def __post_init__(self):
        if self.close not in ("client", "server", "both"):
            raise ValueError(f"close={self.close!r}: must be client, server or both")
        if self.fault not in FAULTS:
            raise ValueError(f"fault={self.fault!r}: must be one of {', '.join(FAULTS)}")

    @property
    def fake(self):
        """Whether the pair is without RTL."""
        return self.preset == "fake"

    def peer_config(self):
        """Return the TcpConfig of both peers."""
        return replace(TcpConfig(mss=self.mss, timestamps=self.timestamps, sack=self.sack, wscale=self.wscale,
                                 retries=self.retries, msl=self.msl), **self.timeouts())

    def timeouts(self):
        """Return the retransmission timeouts of peers and pair by name, cycles."""
        return TIMEOUTS | {"rto_max": self.rto_max}

    def target(self):
        """Return the address that the client connects to."""
        return SERVER if self.fake else VIP[0]

    def pair_registers(self):
        """Return the registers that make the pair a proxy between the two networks, in the order of writing.

        The keys come first, before there is a heartbeat that one unit signs and the other one refuses. The first
        frequent heartbeats have arrived when `takeover_after` becomes as short as their interval wants.
        """
        mac = mac_bytes(SERVER_MAC)
        return {
            **sync_keys(self.seed), "hb_interval": 300, "mode": 1,
            "vip_0": ip_number(VIP[0]), "vip_1": ip_number(VIP[1]), "server_ip": ip_number(SERVER),
            "server_mac_hi": int.from_bytes(mac[:2], "big"), "server_mac_lo": int.from_bytes(mac[2:], "big"),
            "mss": self.mss, "tick_cycles": self.tick,
            **{name: cycles // self.tick for name, cycles in (*self.timeouts().items(), ("msl", self.msl))},
            **({} if self.wscale is None else {"rcv_wscale": self.wscale}),
            "retransmit_after": 600, "lease": 900, "takeover_after": 1200, **self.registers,
        }

    def simulation(self):
        """Return a fresh Simulation; builds the library when needed."""
        if self.fake:
            from ..backend.fake import FakePair
            return Simulation(FakePair())
        from spps.gen import preset_params
        from spps.mmc import register_addresses

        from ..backend.verilated import VerilatedPair
        params = preset_params(self.preset)
        return Simulation(VerilatedPair(self.built().library), register_addresses(params), params)

    def built(self):
        """Return the same scenario with its library built and named."""
        if self.fake or self.library:
            return self
        from spps.gen import preset_params

        from ..backend.verilated import build_library, pair_verilog
        return replace(self, library=str(build_library(pair_verilog(preset_params(self.preset)), trace=self.waves)))

    def replay(self, kill):
        """Return the command that runs one case again, with a waveform where there is RTL."""
        words = [f"{spps_command()} campaign --replay {kill}"]
        for name, value in vars(self).items():
            if name not in UNNAMED and value != getattr(type(self), name):
                values = value if isinstance(value, tuple) else (value,)
                option = "--define" if name == "defines" else f"--{name.replace('_', '-')}"
                words += [option if v is True else f"{option} {v}" for v in values]
        return " ".join(words + ([] if self.fake else ["--waves"]))

    def with_waves(self, kind="fst"):
        """Return the same scenario with a library that can write waveforms."""
        return replace(self, waves=kind, library="")


class Trial:
    """One run of a Scenario: start() configures and connects; then run_until(), kill(), finish(); failures() judges.

    Parameters
    ----------
    scenario : Scenario
        What happens.
    sim : Simulation, optional
        The pair; default: that of the scenario.
    waves : bool, optional
        Record a waveform of the whole run (see testbench.replay.trace_run); default: as SPPS_WAVES says. Never of a
        `sim` that is given.
    """

    def __init__(self, scenario, sim=None, *, waves=None):
        traced = sim is None and not scenario.fake and (waves_wanted() if waves is None else waves)
        self.scenario = scenario
        self.sim = sim or (scenario.with_waves() if traced and not scenario.waves else scenario).simulation()
        if traced:
            trace_run(self.sim)
        rng = random.Random(f"{scenario.seed}/payload")
        self.up, self.down = rng.randbytes(scenario.up), rng.randbytes(scenario.down)
        self.frames, self.wire, self.marks = [], [], []
        self.killed = None          # (cycle, unit)
        self.lossy = False          # the sync link may lose frames
        self.begin = 0              # cycle of the first SYN

    def start(self):
        """Configure the pair, open the connection."""
        s = self.scenario
        if s.defines:
            from spps.ucode.programs import default_image
            for unit in (0, 1):
                self.sim.load_image(unit, default_image(s.defines, self.sim.params.imem_words))
        if not s.fake:
            self.sim.configure(s.pair_registers())
        self.sim.step(5000)         # table sweep, first heartbeats
        self.sim.pop_frames()
        self.sim.pop_marks()
        self.net = net = SimulatedNetwork(self.sim, s.latency, FAULTS[s.fault], s.seed)
        net.on_frame = self.frames.append
        net.on_mark = self.marks.append
        net.on_wire = lambda *event: self.wire.append(event)
        self.client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, s.peer_config(), s.seed)
        self.server = Endpoint("server", SERVER_MAC, SERVER, s.peer_config(), s.seed)
        net.attach(0, self.client)
        net.attach(1, self.server)
        self.server.listen(80, self._serve)
        self.ready()
        self.begin = net.time
        self.connection = self.client.connect(s.target(), 80, on_event=self._client)

    def ready(self):
        """Do what has to be done between the set-up of the pair and the first SYN: here nothing."""

    def _serve(self, connection, what):
        self._talk(connection, what, self.down, self.scenario.close in ("server", "both"))

    def _client(self, connection, what):
        self._talk(connection, what, self.up, self.scenario.close in ("client", "both"))

    def _talk(self, connection, what, data, first):
        """Be an application that sends `data`; first: it ends without waiting for the other one's FIN."""
        if what == "established":
            connection.write(data if first or not self.scenario.half_close else data[:len(data) // 2])
            if first:
                connection.close()
        elif what == "fin" and not connection.closing:
            if self.scenario.half_close:
                connection.write(data[len(data) // 2:])
            connection.close()

    def accepted(self):
        """Return the connections of the server that got beyond the handshake."""
        return [c for c in self.server.all_connections() if c.was("established")]

    def over(self):
        """Return whether both ends are closed, TIME-WAIT included."""
        served = self.accepted()
        return self.connection.state is State.CLOSED and (not served or all(c.state is State.CLOSED for c in served))

    def run_until(self, cycle):
        """Run to exactly `cycle`; return whether the connection was over before."""
        return self.net.run_until(cycle, self.over)

    def kill(self):
        """Kill the active unit now and return its number. Raises RuntimeError when none is active."""
        unit = self.sim.active()
        if unit is None:
            raise RuntimeError(f"no unit is active at cycle {self.sim.cycle}")
        self.killed = (self.sim.cycle, unit)
        self.sim.kill(unit)
        return unit

    def finish(self, settle=3000):
        """Run until the connection is over, and a little more."""
        self.net.run_until(self.begin + self.scenario.limit, self.over)
        self.end = self.net.time
        self.net.run_until(self.net.time + settle)
        for _ in range(100):                # a timer's event may be on its way
            status = self.sim.status()
            if all(status[f"delivered_{u}"] == status[f"done_{u}"] for u in self.running()):
                break
            self.net.run_until(self.net.time + 100)

    def running(self):
        """Return the units that have not been stopped."""
        return [unit for unit in (0, 1) if not self.killed or self.killed[1] != unit]

    # judgement -----------------------------------------------------------------------------
    def takeover_cycles(self):
        """Return the cycles from the kill to the survivor's change to active, or None."""
        if self.killed is None:
            return None
        cycle, unit = self.killed
        return next((m.cycle - cycle for m in self.marks
                     if m.name == "active" and m.cycle >= cycle and m.value >> (1 - unit) & 1), None)

    def failures(self, resume_bound=RESUME_BOUND):
        """Return what is wrong at the end, as texts; empty when all is well. resume_bound: see violations()."""
        wrong = []
        served = self.accepted()
        if len(served) != 1:
            wrong.append(f"the server has {len(served)} established connections instead of 1")
        for name, connection, expected in (("client", self.connection, self.down),
                                           *(("server", c, self.up) for c in served)):
            wrong += [f"{name}: {text}" for text in self._judge(connection, expected)]
        for peer in (self.client, self.server):
            if FAULTS[self.scenario.fault].corrupt == 0:
                wrong += [f"{peer.name}: malformed frame at {time}: {text}" for time, text in peer.problems[:5]]
            wrong += [f"{peer.name}: the MAC address of {ip:#x} changed at {time}"
                      for time, ip, *_ in peer.arp.changes[:1]]
        if self.killed and self.takeover_cycles() is None:
            wrong.append("the standby never took over")
        wrong += self._balance()
        return wrong + self.violations(resume_bound)

    def whole(self, raw):
        """Return whether a frame is one: undamaged, and not of two halves."""
        return not raw.err

    def violations(self, resume_bound=RESUME_BOUND, end=None):
        """Return what the monitor finds in the captures up to cycle `end`, as texts. resume_bound: of I5, ns."""
        if self.scenario.fake:
            return []
        frames = [raw for raw in self.frames if self.whole(raw) and (end is None or raw.cycle < end)]
        report = check([f for raw in frames if (f := to_frame(raw))], resume_bound=resume_bound, lossy=self.lossy)
        return [str(v) for v in report.violations[:10]]

    def _balance(self):
        """Nothing is left inside the units that live."""
        status = self.sim.status()
        for unit in self.running():
            if status[f"delivered_{unit}"] != status[f"done_{unit}"]:
                yield f"unit {unit}: {status[f'delivered_{unit}']} events delivered, {status[f'done_{unit}']} ended"
            for name, empty in (("gate_level", 0), ("free_pages", getattr(self.sim.params, "scratch_pages", None))):
                if name in self.sim.registers and (found := self.sim.read(unit, name)) != empty:
                    yield f"unit {unit}: {name} is {found} instead of {empty} at the end"

    @staticmethod
    def _judge(connection, expected):
        got = bytes(connection.received)
        if got != expected:
            same = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
            yield f"received {len(got)} of {len(expected)} bytes, equal up to {same}"
        if connection.queue.conflicts:
            yield f"byte {connection.queue.conflicts[0][0]} came with two values"
        if len(connection.fin_numbers) != 1 or not connection.fin_taken:
            yield f"FIN numbers {sorted(connection.fin_numbers)}, taken: {connection.fin_taken}; expected exactly one"
        for what in ("reset", "refused", "timeout"):
            if connection.was(what):
                yield f"{what} in state history {[h for h in connection.history if h[1] != 'data'][-4:]}"
        if connection.state is not State.CLOSED:
            yield f"still {connection.state.name}"

    def write_captures(self, folder):
        """Write the pcapng files of the run, with comments at kill and takeover; returns link -> path."""
        captures = CaptureSet(folder)
        for raw in self.frames:
            if not raw.err and (frame := to_frame(raw)) is not None:
                captures.add(frame)
        kill = self.killed and self.killed[0] * NS_PER_CYCLE
        takeover = self.takeover_cycles()
        return captures.close(kill, kill + takeover * NS_PER_CYCLE if takeover is not None else None)

    def sync_frames(self):
        """Return the RawFrames of the sync link."""
        return [f for f in self.frames if f.kind in (FrameKind.SYNC0, FrameKind.SYNC1)]
