"""A pair of SPPS under simulation, seen from outside: frames, registers by name, kill and freeze, time in cycles.

Live bridges use it like this, with pacing of their own:

    sim = Simulation.of(params)
    sim.configure({"mode": 1, "vip_0": 0x0A000001})
    while True:
        for port, data in frames_from_outside():
            sim.push_frame(port, data)
        sim.step(1000)
        for frame in sim.pop_frames():
            if frame.kind is FrameKind.OUT:
                send_outside(frame.side, frame.data)
"""
import json
from pathlib import Path
from typing import Any

from .interface import Stop, SyncFaults

__all__ = ["Simulation", "load_registers"]

POWER_UP = 16       # clocks of a reset


def load_registers(source):
    """Name -> byte address, from a dict or from a JSON file such as `spps registers --format json` prints."""
    return dict(source) if isinstance(source, dict) else json.loads(Path(source).read_text())


def _kept_registers():
    """Names of the registers that keep what a host writes."""
    from spps.layouts.config import CONFIG
    from spps.mmc.registers import CONTROL, KEYS, MORE
    registers = [r.name for r in (*CONTROL, *MORE, *KEYS) if r.access in ("rw", "wo")]
    return registers + [f"cfg_{word.name}" for word in CONFIG]


class Simulation:
    """One pair.

    backend: backend.Backend. registers: name -> address (see load_registers), or None. params: its SppsParams.

    Callbacks, called in order of time by run(), never by step(): on_frame(RawFrame), on_mark(Mark).
    Frames and marks that nobody took are kept for pop_frames() and pop_marks().
    """

    def __init__(self, backend, registers=None, params: Any = None):
        self.backend = backend
        self.params = params
        self.registers = load_registers(registers) if registers is not None else {}
        self._kept = {self.registers[name] for name in _kept_registers() if name in self.registers}
        self.on_frame: Any = None
        self.on_mark: Any = None
        self.kills = []             # (cycle, unit)
        self._kill = self._freeze = self._detector = self._appoint = self._power_up = 0
        self._written = ({}, {})    # of each unit: what has been written to the registers that keep it, by address
        self._late = ({}, {})       # of these, what was written while the unit was stopped

    @classmethod
    def of(cls, params, trace=""):
        """The pair in RTL with `params`, built if need be. trace: see VerilatedPair."""
        from spps.mmc import register_addresses

        from .verilated import VerilatedPair
        return cls(VerilatedPair.of(params, trace=trace), register_addresses(params), params)

    @classmethod
    def of_unit(cls, params, unit):
        """One unit in RTL with `params`, built if need be; the other one is elsewhere."""
        from spps.mmc import register_addresses

        from .verilated import VerilatedUnit
        return cls(VerilatedUnit.of(params, unit=unit), register_addresses(params), params)

    # time ----------------------------------------------------------------------------------
    @property
    def cycle(self):
        """Cycles since reset."""
        return self.backend.cycle

    def step(self, cycles, stop=Stop.NONE):
        """Run at most `cycles`; returns early, saying why, when something in `stop` happened."""
        return self.backend.step(cycles, stop)

    def run(self, cycles, stop=Stop.NONE):
        """step(), with callbacks for what happened; returns why it ended."""
        reason = self.backend.step(cycles, stop)
        self.dispatch()
        return reason

    def dispatch(self):
        """Hand frames and marks to the callbacks that are set, in order of time."""
        notifications = [(f.cycle, 1, self.on_frame, f) for f in (self.pop_frames() if self.on_frame else ())]
        notifications += [(m.cycle, 0, self.on_mark, m) for m in (self.pop_marks() if self.on_mark else ())]
        for _, _, callback, what in sorted(notifications, key=lambda h: h[:2]):
            callback(what)

    # frames --------------------------------------------------------------------------------
    def push_frame(self, port, data, err=False):
        """Queue a frame (Ethernet, without FCS) from outside; err marks it as damaged on the wire."""
        if not 1 <= len(data) <= 16384:
            raise ValueError(f"frame of {len(data)} bytes: must be 1 to 16384")
        self.backend.push_frame(port, data, err)

    def pop_frames(self):
        """Frames completed since the last call, in order of completion: out, in and sync."""
        frames = []
        while (frame := self.backend.pop_frame()) is not None:
            frames.append(frame)
        return frames

    def pop_marks(self):
        """Changes of status words since the last call."""
        return self.backend.pop_marks()

    # cores -----------------------------------------------------------------------------------
    def watch(self, on=True):
        """Note from now on what the cores do in each clock (spps_sim.trace.activity), or stop noting it."""
        self.backend.watch(on)

    def pop_activity(self):
        """What was noted since the last call."""
        return self.backend.pop_activity()

    # registers -----------------------------------------------------------------------------
    def _address(self, name):
        if isinstance(name, int):
            return name
        if name not in self.registers and f"cfg_{name}" in self.registers:      # words of layouts.config
            return self.registers[f"cfg_{name}"]
        if name not in self.registers:
            some = ", ".join(sorted(self.registers)[:40])
            raise KeyError(f"no register {name!r}; there are {len(self.registers)}: {some}")
        return self.registers[name]

    def read(self, unit, name):
        """Value of a register, by name, with or without the prefix cfg_, or by address. Takes a few cycles."""
        return self.backend.register(unit, self._address(name))

    def write(self, unit, name, value):
        """Write a register, named as for read(); bits above the 32nd are ignored.

        A stopped unit gets the value when it runs again, if the register keeps what is written.
        """
        address, value = self._address(name), value & 0xFFFFFFFF
        if address in self._kept:
            self._written[unit][address] = value
            if (self._kill | self._freeze) >> unit & 1:
                self._late[unit][address] = value
                return
        self.backend.register(unit, address, value)

    def configure(self, values, units=(0, 1)):
        """Write registers by name on both units. A value may be a pair: one for each unit."""
        for name, value in values.items():
            for unit in units:
                self.write(unit, name, value[unit] if isinstance(value, tuple) else value)

    def counters(self, unit, names=None):
        """Registers by name; all whose name is in the map when `names` is None."""
        return {name: self.read(unit, name) for name in (self.registers if names is None else names)}

    def load_image(self, unit, image):
        """Put microcode (an Image or its words) into every cluster of `unit`, which must have nothing to do meanwhile.

        `reprogram` does it while the unit works.
        Raises ValueError when the image is larger than the instruction memory.
        """
        for cluster in range(self.params.clusters):
            for _ in self.image_writes(unit, cluster, self.checked_image(image)):
                pass

    def checked_image(self, image):
        """The words of an Image. Raises ValueError when there are more than the instruction memory has."""
        words = list(getattr(image, "words", image))
        if len(words) > self.params.imem_words:
            raise ValueError(f"image of {len(words)} words: the instruction memory has {self.params.imem_words}")
        return words

    def image_writes(self, unit, cluster, words):
        """Writes the words into the instruction memory of a cluster, one per step of the iteration."""
        self.write(unit, "imem_address", cluster << 12)
        for word in words:
            self.write(unit, "imem_high", word >> 32)
            self.write(unit, "imem_low", word)
            yield

    # faults --------------------------------------------------------------------------------
    def _controls(self):
        self.backend.controls(self._kill, self._freeze, self._detector, self._appoint, self._power_up)

    def kill(self, unit):
        """Unit stops until `revive`, and its links with it."""
        self._kill |= 1 << unit
        self.kills.append((self.cycle, unit))
        self._controls()

    def revive(self, unit):
        """Switch a stopped unit on: reset, then the registers that this object has written, as a host would do.

        Its sync frames are of a new session: the other unit refuses a serial that it has taken before.
        """
        self._power_up |= 1 << unit
        self._controls()
        self.step(POWER_UP)
        self._kill &= ~(1 << unit)
        self._freeze &= ~(1 << unit)
        self._controls()
        self.step(POWER_UP)
        self._power_up &= ~(1 << unit)
        self._controls()
        if (session := self.registers.get("sync_session")) is not None:
            self._written[unit][session] = self._written[unit].get(session, 0) + 1
        self._restore(unit, self._written[unit])

    def _restore(self, unit, registers):
        """Write registers of a unit that runs again, {address: value}."""
        for address, value in registers.items():
            self.backend.register(unit, address, value)
        self._late[unit].clear()

    def freeze(self, unit, frozen=True):
        """Stop or thaw the clock of a unit."""
        self._freeze = self._freeze & ~(1 << unit) | frozen << unit
        self._controls()
        if not (self._kill | self._freeze) >> unit & 1:
            self._restore(unit, self._late[unit])

    def detector(self, unit, failed=True):
        """Tell `unit` from outside that its peer has failed (§X.B, F10)."""
        self._detector = self._detector & ~(1 << unit) | failed << unit
        self._controls()

    def appoint(self, unit):
        """Tell the IP switch from outside which unit owns the addresses; None: it decides by itself."""
        self._appoint = 0 if unit is None else 1 << unit
        self._controls()

    def sync_faults(self, sender, faults=SyncFaults()):     # noqa: B008, it is immutable
        """Set what the sync link does to the frames that unit `sender` sends; without `faults` nothing."""
        self.backend.link(sender, faults)

    # state ---------------------------------------------------------------------------------
    def status(self):
        """Status words by name, see backend.STATUS_WORDS."""
        return self.backend.status()

    def active(self):
        """Number of the unit that is master, None with none; with two the one not killed."""
        role = self.status()["active"] & ~self._kill
        return {1: 0, 2: 1, 3: 0}.get(role & 3)

    def trace(self, path):
        """Write a waveform from now on; close with trace_close()."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.backend.trace_open(path)

    def trace_close(self):
        """End the waveform."""
        self.backend.trace_close()


