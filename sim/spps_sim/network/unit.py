"""One unit of a bed in this process: `spps live --unit`."""
import os
import select
import time

from spps.tools.errors import ToolError

from ..backend.interface import FrameKind
from ..backend.simulation import Simulation
from ..backend.verilated import SYNC_PORT
from .bed import NETWORKS, Tap
from .clock import WallClock
from .testbed import Addresses, Testbed, ip_number

__all__ = ["RATE", "TIMES_MS", "PacedSimulation", "UnitTestbed", "key_registers"]

#: clocks per second of wall time by default
RATE = 30_000
#: times of failover, milliseconds of wall time
TIMES_MS = {"hb_interval": 25, "lease": 250, "takeover_after": 750, "retransmit_after": 60}
#: seconds that a frame on the sync link may take; that a clock makes up for; that it is ahead after register accesses
TRAVEL, CATCH_UP, AHEAD = 0.02, 0.02, 0.03
STEP = 0.002                # seconds of simulated time in a turn
#: times of `takeover_after` without a heartbeat after which a unit without a peer becomes the active one, by number
LISTEN = 2.0, 4.0


def key_registers(key):
    """Registers of a key of 32 hexadecimal digits, slot a. Raises ToolError for another text."""
    try:
        number = int(key, 16) if len(key) == 32 else 0
    except ValueError:
        number = 0
    if not number:
        raise ToolError("key: expected 32 hexadecimal digits, not all 0")
    return {f"sync_key_a{word}": number >> 32 * word & 0xFFFFFFFF for word in range(4)}


class PacedSimulation(Simulation):
    """A Simulation whose register accesses, which take simulated time, are followed by `pause()`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pause = lambda: None

    def read(self, unit, name):
        """Value of a register, see Simulation."""
        value = super().read(unit, name)
        self.pause()
        return value

    def write(self, unit, name, value):
        """Write a register, see Simulation."""
        super().write(unit, name, value)
        self.pause()


class UnitTestbed(Testbed):
    """One unit under simulation that keeps to wall time, plugged into a bed; the other unit is another process.

    It looks like a Testbed of which the other unit is killed, so that status, registers and events work alike.

    Parameters
    ----------
    simulation : PacedSimulation
        With a backend VerilatedUnit.
    params : SppsParams
        Sizes of the unit.
    bed : dict
        What `read_bed` returned.
    key : str
        Of the sync link.
    rate : int
        Clocks per second of wall time.
    mode : str
        "proxy" or "endpoint".
    """

    def __init__(self, simulation, params, bed, *, key, rate=RATE, mode="proxy"):
        super().__init__(simulation, params, mode=mode, speed=float(rate))
        self.number, self.bed, self.key, self.clock_rate = simulation.backend.unit, bed, key, rate
        self.times = {name: rate * ms // 1000 for name, ms in TIMES_MS.items()}
        self.clock = WallClock(rate, self.times["lease"], self.times["takeover_after"], travel=TRAVEL,
                               catch_up=CATCH_UP, ahead=AHEAD, now=time.monotonic)
        simulation.pause = self._pause
        self.killed = 1 << (1 - self.number)
        self.silent = 0             # frames that were not sent because the clock was not honest
        self.sync_heard = 0         # frames of the sync link
        self._decided: float | None = None      # when the role of a unit without a peer is decided, monotonic
        self._runs = self._turning = False

    def __enter__(self):
        try:
            for network in NETWORKS:
                tap = Tap(self.bed["switch"], self.number, network)
                self.namespaces.append(tap)
                self._stack.callback(tap.close)
            self.sim.kill(1 - self.number)
            self._configure()
        except BaseException:
            self._stack.close()
            raise
        self._started = time.monotonic()
        self.clock.start(self.sim.cycle)
        self._runs = True
        self._decided = self._started + LISTEN[self.number] * TIMES_MS["takeover_after"] / 1000
        return self

    def _configure(self):
        own = (self.number,)
        self.sim.configure({"unit": self.number, **key_registers(self.key), "sync_session": int(time.time())}, own)
        self.sim.configure({
            **self.times,
            "mode": int(self.mode == "proxy"), "server_ip": ip_number(Addresses.server),
            "vip_0": ip_number(Addresses.vip[0]), "vip_1": ip_number(Addresses.vip[1]),
            "tick_cycles": max(2, self.clock_rate // 1000), "window": min(65535, self.params.socket_bytes),
        }, own)

    def describe(self):
        """What status says of this process beside its registers, for JSON."""
        clock = self.clock
        return {"pid": os.getpid(), "rate": self.clock_rate, "margin_ms": round(1000 * clock.margin, 1),
                "late": clock.late, "lost_ms": round(1000 * clock.lost, 1), "worst_ms": round(1000 * clock.worst, 1),
                "silenced": clock.silenced, "frames_not_sent": self.silent}

    def active(self):
        """Number of this unit if it is the active one, or None."""
        return self.number if self.sim.status()["active"] >> self.number & 1 else None

    def stopped(self):
        """What is not here, in words."""
        return f"unit {1 - self.number} is another process"

    def kill(self, name="active"):
        """Refuse: what ends a unit is the end of its process."""
        raise ToolError("a unit of a bed is a process: end it with kill -9, and start it again")

    def revive(self, unit):
        """Refuse, as `kill`."""
        self.kill()

    def freeze(self, name="active"):
        """Refuse: a stopped process is a unit that freezes."""
        raise ToolError("a unit of a bed is a process: stop it with kill -STOP, and let it go on with kill -CONT")

    def thaw(self):
        """Refuse, as `freeze`."""
        self.freeze()

    def _pause(self):
        """After a register access: let wall time catch up, and traffic go on."""
        while self._runs and not self._turning and self.clock.behind(self.sim.cycle) < -STEP:
            self.turn()

    def turn(self, idle_wait=STEP):
        """One round: frames in, the clocks that are due, frames out. Returns True when there was traffic."""
        self._turning = True
        try:
            return self._turn()
        finally:
            self._turning = False

    def _turn(self):
        due = self.clock.due(self.sim.cycle)
        step = int(STEP * self.clock_rate)
        if due < step:
            select.select([tap.fd for tap in self.namespaces], [], [], (step - due) / self.clock_rate)
            due = self.clock.due(self.sim.cycle)
        traffic = False
        for port, tap in enumerate(self.namespaces):
            for _ in range(64):
                if port < 2 and self.sim.backend.pending() >= 64 or (frame := tap.read()) is None:
                    break
                if port < 2:
                    self._carry(port, frame, self._into_pair)
                    traffic = True
                else:
                    self.sim.push_frame(SYNC_PORT, frame)
        if due <= 0:
            return traffic
        started, before = time.monotonic(), self.sim.cycle
        self.sim.step(min(due, 4 * step))
        self.busy_seconds += time.monotonic() - started
        self.cycles_run += self.sim.cycle - before
        for frame in self.sim.pop_frames():
            traffic = self._deliver(frame) or traffic
        if self._decided is not None:
            self._decide()
        return traffic

    def _deliver(self, frame):
        if frame.kind in (FrameKind.SYNC0, FrameKind.SYNC1):
            if frame.unit == self.number:
                self.namespaces[2].write(frame.data)
            else:
                self.sync_heard += 1
        elif frame.kind is FrameKind.OUT and not self._honest():
            self.silent += 1
            return False
        return super()._deliver(frame) if frame.side < 2 else False

    def _honest(self):
        """Whether the clock has kept to wall time until now well enough for a frame to leave."""
        self.clock.due(self.sim.cycle)
        return self.clock.honest(self.sim.cycle)

    def _decide(self):
        """A unit starts as the standby. If it hears nobody, it becomes the active one; unit 0 waits half as long."""
        if self._heard():
            self._decided = None
        elif self._decided is not None and time.monotonic() >= self._decided:
            self._decided = None
            self.sim.write(self.number, "role_init", 1)
            self.sim.write(self.number, "role_load", 1)

    def _heard(self):
        """Whether the unit has taken a heartbeat of the other one: it answers each."""
        answers = "failover_join_out", "failover_echo_out"
        return self.sync_heard and any(self.sim.read(self.number, name) for name in answers)
