"""The RTL as a shared library, a pair or one unit on its board: Verilog through Verilator, many cycles per call.

The library is built once per content of Verilog, C++ and flags, into build/sim/<hash>/. Frames cross
whole; words are fed and collected in C++ (native/spps_sim.cpp). No threads: fork() at any cycle is safe.
"""
import ctypes
import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

from spps.tools.errors import ToolError
from spps.tools.paths import BUILD, exclusive, tool_environment

from .interface import STATUS_WORDS, UNIT_SHIFT, Activity, FrameKind, Mark, RawFrame, Stop

__all__ = ["board_verilog", "build_library", "pair_verilog", "trace_kind", "VerilatedPair", "VerilatedUnit",
           "REQUIRED_PORTS"]

NATIVE = Path(__file__).resolve().parent / "native" / "spps_sim.cpp"
#: optimisation of the generated C++: -O2 compiles longer and runs no faster
OPTIMISE = "-O1"
CFLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-stack-protector")
TRACE_KINDS = ("", "fst", "vcd")
#: module of one unit. Verilator makes its code once for both units of the pair, which runs faster than two copies,
#: probably because more of it stays in the processor's caches (figures in sim/README.md)
UNIT = "spps"

REQUIRED_PORTS = (
    "clk", "rst", "kill", "freeze", "detector", "appoint", "power_up", "link_0", "link_1",
    *(f"{s}__{f}" for s in ("i", "o", "i_mmc_0", "o_mmc_0", "i_mmc_1", "o_mmc_1")
      for f in ("payload", "valid", "ready")),
    *(f"tap_sync_{n}__{f}" for n in (0, 1) for f in ("payload", "valid")), *STATUS_WORDS, "activity_0", "activity_1",
)
#: of module spps_board
BOARD_PORTS = (
    "clk", "rst", "alive", *(f"{s}__{f}" for s in ("i", "o", "i_sync", "o_sync", "i_mmc", "o_mmc")
                             for f in ("payload", "valid", "ready")),
    "active", *dict.fromkeys(name.removesuffix("_0") for name in STATUS_WORDS if name.endswith("_0")), "activity",
)
TOPS = {"spps_pair": REQUIRED_PORTS, "spps_board": BOARD_PORTS}
SYNC_PORT = 255         # of frames that reach the unit of a board on the sync link


def _sources_digest(params):
    """Hash of everything the Verilog of a pair is made from."""
    import spps
    root = Path(spps.__file__).resolve().parent
    digest = hashlib.sha256(repr(params).encode())
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".uasm")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def pair_verilog(params, path=None):
    """Write `spps.pair.SppsPair(params)` as module spps_pair, if a source has changed; returns the path."""
    from spps.gen import write_pair
    return _verilog(params, "spps_pair", write_pair, path)


def board_verilog(params, path=None):
    """Write `spps.unit_board.UnitBoard(params)` as module spps_board, if a source has changed; returns the path."""
    from spps.gen import write_board
    return _verilog(params, "spps_board", write_board, path)


def _verilog(params, top, write, path):
    path = Path(path or BUILD / "verilog" / f"{top}_{params.name}_{params.data_width}.v")
    stamp, digest = path.with_suffix(".sources"), _sources_digest(params)
    if not (path.exists() and stamp.exists() and stamp.read_text() == digest):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write(params, path.with_suffix("")).read_text())
        stamp.write_text(digest)
    return path


def _top(verilog):
    """Return the name of the top, one of TOPS."""
    for name in TOPS:
        if re.search(rf"^module {name}\b", verilog, re.M):
            return name
    raise ValueError(f"no module {' or '.join(TOPS)} in the Verilog")


def _ports(verilog):
    """Names and widths of the ports of the top."""
    found = re.search(rf"^module {_top(verilog)}\b.*?^endmodule", verilog, re.M | re.S)
    assert found
    ports = {}
    port = r"^\s*(?:input|output)\s+(?:wire\s+|reg\s+)?(?:\[(\d+):0\]\s*)?(\w+)\s*;"
    for msb, name in re.findall(port, found[0], re.M):
        ports[name] = int(msb) + 1 if msb else 1
    return ports


def data_width(verilog):
    """Width of the packet datapath, from the width of the port i__payload; raises ValueError on foreign tops."""
    ports = _ports(verilog)
    top = _top(verilog)
    missing = [p for p in TOPS[top] if p not in ports]
    if missing:
        raise ValueError(f"{top} lacks the ports {', '.join(missing)}")
    for width in (32, 64, 128):
        if ports["i__payload"] == width + 8 + (width // 8 - 1).bit_length() + 2:
            return width
    raise ValueError(f"i__payload is {ports['i__payload']} bits wide: no packet layout of 32, 64 or 128 bits")


def trace_kind(wanted="fst"):
    """The kind of waveform that a library built with trace=`wanted` writes: FST needs lz4.h, else it is VCD."""
    return "vcd" if wanted == "fst" and not Path("/usr/include/lz4.h").exists() else wanted


def _unit_as_block(verilog, work):
    """Arguments that make the unit's module a block of its own; none when the Verilog has no such module."""
    if not re.search(rf"^module {UNIT}\b", verilog, re.M):
        return []
    rules = work / "unit.vlt"
    rules.write_text(f'`verilator_config\nhier_block -module "{UNIT}"\n')
    return ["--hierarchical", rules.name]


def build_library(verilog_path, *, trace="", jobs=2):
    """Build (or find) the shared library of one Verilog file; returns its path.

    trace: "", "fst" or "vcd": whether `trace_open` works. FST falls back to VCD where lz4.h is missing.
    Raises ToolError with the tail of the log when Verilator or the compiler fails.
    """
    if trace not in TRACE_KINDS:
        raise ValueError(f"trace={trace!r}: must be one of {TRACE_KINDS}")
    trace = trace_kind(trace)
    text = Path(verilog_path).read_text()
    width, top = data_width(text), _top(text)
    tracing = [f"--trace-{trace}", "--timescale-override", "1ns/1ns"] if trace else []
    made_of = "\0".join([text, UNIT, NATIVE.read_text(), trace, OPTIMISE, *CFLAGS, *tracing])
    key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    folder = BUILD / "sim" / key
    library = folder / "libspps_sim.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / f"build.{os.getpid()}"      # builds of the same library may run side by side
    work.mkdir()
    (work / f"{top}.v").write_text(text)
    cflags = " ".join([*CFLAGS, f"-DSPPS_W={width}", *(["-DSPPS_BOARD"] if top == "spps_board" else [])]
                      + ([f"-DSPPS_TRACE -DSPPS_TRACE_{trace.upper()}"] if trace else []))
    command = ["verilator", "--cc", "--exe", "--build", "-j", str(jobs), "--top-module", top,
               "--prefix", f"V{top}", "-O3", "-Wno-fatal", "-Wno-lint", "--x-assign", "fast", "--x-initial", "fast",
               "--no-timing", "--noassert",
               "--output-split", "20000", "-Mdir", "obj", "-CFLAGS", cflags, "-LDFLAGS", "-shared",
               "-MAKEFLAGS", f"OPT_FAST={OPTIMISE} OPT_GLOBAL={OPTIMISE} OPT_SLOW={OPTIMISE}",
               *(tracing or _unit_as_block(text, work)), "-o", "libspps_sim.so", f"{top}.v", str(NATIVE)]
    log = folder / "build.log"
    with open(log, "w") as output:
        code = subprocess.run(command, cwd=work, env=tool_environment(), stdout=output,
                              stderr=subprocess.STDOUT).returncode
    built = work / "obj" / "libspps_sim.so"
    if not code and built.exists():
        built.replace(library)
        (work / f"{top}.v").replace(folder / f"{top}.v")
    shutil.rmtree(work, ignore_errors=True)
    if code or not library.exists():
        raise ToolError(f"building the simulation failed ({log}):\n" + "\n".join(log.read_text().splitlines()[-20:]))
    return library


class _FrameInfo(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("port", ctypes.c_uint32), ("err", ctypes.c_uint32),
                ("length", ctypes.c_uint32), ("start", ctypes.c_uint64), ("cycle", ctypes.c_uint64)]


class _Mark(ctypes.Structure):
    _fields_ = [("cycle", ctypes.c_uint64), ("word", ctypes.c_uint32), ("value", ctypes.c_uint32)]


_SIGNATURES = {
    "spps_create": (ctypes.c_void_p, ()),
    "spps_destroy": (None, (ctypes.c_void_p,)),
    "spps_width": (ctypes.c_uint32, ()),
    "spps_cycle": (ctypes.c_uint64, (ctypes.c_void_p,)),
    "spps_step": (ctypes.c_uint32, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32)),
    "spps_push": (None, (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32)),
    "spps_pending": (ctypes.c_uint32, (ctypes.c_void_p,)),
    "spps_pop": (ctypes.c_int, (ctypes.c_void_p, ctypes.POINTER(_FrameInfo), ctypes.c_char_p, ctypes.c_uint32)),
    "spps_marks": (ctypes.c_uint32, (ctypes.c_void_p, ctypes.POINTER(_Mark), ctypes.c_uint32)),
    "spps_watch": (None, (ctypes.c_void_p, ctypes.c_uint32)),
    "spps_activity_size": (ctypes.c_uint32, ()),
    "spps_activity": (ctypes.c_uint32, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)),
    "spps_mmc": (ctypes.c_int, (ctypes.c_void_p,) + (ctypes.c_uint32,) * 5 + (ctypes.POINTER(ctypes.c_uint32),)),
    "spps_controls": (None, (ctypes.c_void_p,) + (ctypes.c_uint32,) * 5),
    "spps_link": (None, (ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))),
    "spps_link_words": (ctypes.c_uint32, ()),
    "spps_status": (None, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32))),
    "spps_trace_open": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)),
    "spps_trace_close": (None, (ctypes.c_void_p,)),
}


class VerilatedPair:
    """Backend: the RTL of a pair, after reset. library: a path from `build_library`.

    A frame longer than 16384 bytes raises RuntimeError: the RTL has lost its `last`.
    """

    CAPACITY = 16384
    MMC_LIMIT = 10_000      # cycles a register access may take
    _BATCH = 1024

    def __init__(self, library):
        self._lib = ctypes.CDLL(str(library))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments
        self.width = self._lib.spps_width()
        self._handle = self._lib.spps_create()
        self._info = _FrameInfo()
        self._bytes = ctypes.create_string_buffer(self.CAPACITY)
        self._marks = (_Mark * self._BATCH)()
        self._words = (ctypes.c_uint32 * len(STATUS_WORDS))()

    @classmethod
    def of(cls, params, trace=""):
        """The pair with `params`, built if need be."""
        with exclusive("pair"):      # test processes side by side build it once
            verilog = pair_verilog(params)
        with exclusive(f"pair_{trace or 'plain'}"):
            return cls(build_library(verilog, trace=trace))

    @property
    def cycle(self):
        """Cycles since reset."""
        return self._lib.spps_cycle(self._handle)

    def step(self, cycles, stop=Stop.NONE):
        """Run at most `cycles`; returns what happened, and early when something named in `stop` did."""
        return Stop(self._lib.spps_step(self._handle, cycles, int(stop)))

    def push_frame(self, port, data, err=False):
        """Queue a frame at the input; it enters as soon as the frames before it are in."""
        self._lib.spps_push(self._handle, port, bytes(data), len(data), err)

    def pending(self):
        """Frames queued at the input and not yet taken whole."""
        return self._lib.spps_pending(self._handle)

    def pop_frame(self):
        """The oldest complete frame of any kind, or None."""
        got = self._lib.spps_pop(self._handle, ctypes.byref(self._info), self._bytes, self.CAPACITY)
        if got == 0:
            return None
        info = self._info
        if got < 0:
            raise RuntimeError(f"frame of {info.length} bytes at cycle {info.cycle}: longer than {self.CAPACITY}")
        data = self._bytes.raw[:info.length]
        return RawFrame(FrameKind(info.kind), info.port, info.start, info.cycle, data, bool(info.err))

    def pop_marks(self):
        """Changes of status words since the last call, oldest first."""
        marks = []
        while count := self._lib.spps_marks(self._handle, self._marks, self._BATCH):
            marks += [Mark(m.cycle, STATUS_WORDS[m.word], m.value) for m in self._marks[:count]]
        return marks

    def watch(self, on=True):
        """Note from now on what the cores do, or stop noting it."""
        self._lib.spps_watch(self._handle, on)

    def pop_activity(self):
        """Activities noted since the last call, oldest first."""
        size = self._lib.spps_activity_size()
        batch = ctypes.create_string_buffer(size * self._BATCH)
        found = []
        while count := self._lib.spps_activity(self._handle, batch, self._BATCH):
            for at in range(0, size * count, size):
                cycle, unit = struct.unpack_from("=QI", batch.raw, at)
                found.append(Activity(cycle, unit, int.from_bytes(batch.raw[at + 12:at + size], "little")))
        return found

    def register(self, unit, address, data=None):
        """Read register `address` of `unit`, or write `data` to it (returns 0); takes simulated cycles."""
        result = ctypes.c_uint32()
        if not self._lib.spps_mmc(self._handle, unit, address, data or 0, data is not None, self.MMC_LIMIT,
                                  ctypes.byref(result)):
            raise RuntimeError(f"unit {unit}: no answer to an access of register {address:#06x} in "
                               f"{self.MMC_LIMIT} cycles")
        return result.value

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        """Set the two-bit control inputs, bit n for unit n."""
        self._lib.spps_controls(self._handle, kill, freeze, detector, appoint, power_up)

    def link(self, unit, faults):
        """Set what the sync link does to the frames of `unit`, a SyncFaults."""
        from spps.failover import LinkControl
        bits = LinkControl.const(faults.control()).as_value().value
        count = self._lib.spps_link_words()
        self._lib.spps_link(self._handle, unit, (ctypes.c_uint32 * count)(*(
            bits >> 32 * n & 0xFFFFFFFF for n in range(count))))

    def status(self):
        """The status words at the last cycle, by name."""
        self._lib.spps_status(self._handle, self._words)
        return dict(zip(STATUS_WORDS, self._words))

    def trace_open(self, path):
        """Start a waveform; needs a library built with `trace`. One time unit is 1 ns, a cycle 10."""
        if not self._lib.spps_trace_open(self._handle, str(path).encode()):
            raise RuntimeError("no trace: build the library with trace='fst' or 'vcd'")

    def trace_close(self):
        """End the waveform."""
        self._lib.spps_trace_close(self._handle)

    def close(self):
        """Free the simulation; nothing may be called afterwards."""
        if self._handle:
            self._lib.spps_destroy(self._handle)
            self._handle = None


class VerilatedUnit(VerilatedPair):
    """Backend: the RTL of one unit on its board, after reset, as a pair of which the other unit is elsewhere.

    Nothing here reaches the other unit; its status words are 0. Its frames on the sync link are given by
    `push_frame(SYNC_PORT, ...)`, and seen as frames that it sent when the unit takes them.

    Parameters
    ----------
    library : path
        From `build_library`, of module spps_board.
    unit : int
        Number of the unit, 0 or 1. The register `unit` has to say the same.
    """

    def __init__(self, library, unit):
        super().__init__(library)
        self.unit = unit
        self._names = ["active", *dict.fromkeys(f"{name[:-1]}{unit}" for name in STATUS_WORDS[1:])]

    @classmethod
    def of(cls, params, trace="", unit=0):
        """The unit with `params`, built if need be."""
        with exclusive("board"):
            verilog = board_verilog(params)
        with exclusive(f"board_{trace or 'plain'}"):
            return cls(build_library(verilog, trace=trace), unit)

    def pop_frame(self):
        """The oldest complete frame of any kind, or None."""
        frame = super().pop_frame()
        if frame is None:
            return None
        if frame.kind is FrameKind.OUT:
            return frame._replace(port=frame.port | self.unit << UNIT_SHIFT)
        if frame.kind is FrameKind.SYNC0:
            return frame._replace(kind=FrameKind(FrameKind.SYNC0 + self.unit))
        if frame.port == SYNC_PORT:
            return frame._replace(kind=FrameKind(FrameKind.SYNC1 - self.unit), port=0)
        return frame

    def pop_marks(self):
        """Changes of status words since the last call, oldest first."""
        marks = []
        while count := self._lib.spps_marks(self._handle, self._marks, self._BATCH):
            marks += [Mark(m.cycle, self._names[m.word], m.value << self.unit if m.word == 0 else m.value)
                      for m in self._marks[:count]]
        return marks

    def register(self, unit, address, data=None):
        """Read register `address` of this unit, or write `data` to it. Raises ValueError for the other unit."""
        if unit != self.unit:
            raise ValueError(f"unit {unit} is not here, only unit {self.unit}")
        return super().register(0, address, data)

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        """Do nothing: the process is the unit."""

    def link(self, unit, faults):
        """Refuse faults of the link: it is not simulated. Raises ValueError."""
        raise ValueError("the sync link of a single unit is not simulated")

    def status(self):
        """The status words at the last cycle, by name; those of the other unit are 0."""
        self._lib.spps_status(self._handle, self._words)
        words = dict(zip(self._names, self._words))
        return dict.fromkeys(STATUS_WORDS, 0) | words | {"active": words["active"] << self.unit}
