"""The shared library around Verilator, against a small Verilog stand-in for the pair (pair_stub.v)."""
import math
import os
import random
import struct
from pathlib import Path

import pytest

from spps_sim.backend.interface import FrameKind, Stop, SyncFaults
from spps_sim.backend.simulation import Simulation
from spps_sim.backend.verilated import VerilatedPair, build_library, data_width

STUB = (Path(__file__).parent / "pair_stub.v").read_text()


def stub(folder, width):
    empty = (width // 8 - 1).bit_length()
    text = STUB.replace("@W@", str(width)).replace("@E@", str(empty)).replace("@M@", str(width + 8 + empty + 1))
    path = folder / f"stub_{width}.v"
    path.write_text(text)
    return path


@pytest.fixture(scope="module", params=[32, 64, 128])
def library(request, tmp_path_factory):
    return build_library(stub(tmp_path_factory.mktemp("stub"), request.param)), request.param


@pytest.fixture
def sim(library):
    return Simulation(VerilatedPair(library[0]), {"scratch": 8, "other": 12})


def run_out(sim, cycles=20_000):
    frames, end = [], sim.cycle + cycles
    while sim.cycle < end:
        sim.step(end - sim.cycle)
        frames += sim.pop_frames()
    return frames


def test_frames_cross_whole_in_order_with_their_ports(sim, library):
    rng = random.Random(3)
    sent = [(rng.randrange(2), rng.randbytes(rng.choice([1, 7, 8, 9, 60, 61, 64, 300, 1514]))) for _ in range(60)]
    for port, data in sent:
        sim.push_frame(port, data)
    frames = run_out(sim)
    assert sim.backend.width == library[1]
    assert [(f.port ^ 1, f.data) for f in frames if f.kind is FrameKind.OUT] == sent
    assert [(f.port, f.data) for f in frames if f.kind is FrameKind.IN] == sent
    assert [f.data for f in frames if f.kind is FrameKind.SYNC0] == [data for _, data in sent]
    for frame in frames:
        words = -(-len(frame.data) * 8 // library[1])
        assert frame.cycle - frame.start >= words - 1
    assert [f.cycle for f in frames] == sorted(f.cycle for f in frames) and sim.backend.pending() == 0


def test_step_stops_at_what_was_asked_for(sim):
    sim.push_frame(0, bytes(64))
    assert Stop.OUT in sim.step(1000, Stop.OUT)
    out = [f for f in sim.pop_frames() if f.kind is FrameKind.OUT]
    assert sim.cycle == out[0].cycle + 1
    sim.step(5)
    sim.kill(0)
    assert Stop.ROLE in sim.step(1000, Stop.ROLE) and sim.active() == 1
    marks = {m.name: m.value for m in sim.pop_marks()}
    assert marks == {"active": 2, "epoch_0": 1}
    assert sim.step(100, Stop.ROLE | Stop.OUT) == Stop.NONE


def test_registers_by_name(sim):
    sim.configure({"scratch": 0xDEADBEEF, "other": 5}, units=(0,))
    assert sim.counters(0) == {"scratch": 0xDEADBEEF, "other": 5}
    with pytest.raises(KeyError, match="nonsense"):
        sim.read(0, "nonsense")
    sim.backend.MMC_LIMIT = 50
    with pytest.raises(RuntimeError, match="unit 1: no answer"):
        sim.read(1, "scratch")


def test_the_faults_of_a_link_reach_its_port(sim):
    faults = SyncFaults(loss=0.25, replay=0.5, delay=0x1234, silent=True, seed=0xDEADBEEF)
    sim.sync_faults(1, faults)
    sim.step(2)
    status = sim.status()
    words = ("done", "delivered", "confirmed", "issued")
    shown = [sum(status[f"{name}_{unit}"] << 32 * n for n, name in enumerate(words))
             for unit in (0, 1)]
    assert shown == [0, 0xDEADBEEF << 67 | 128 << 59 | 64 << 19 | 0x1234 << 3 | 0b101]
    sim.sync_faults(1)
    sim.step(2)
    assert sim.status()["done_1"] == 0


def test_a_fork_shares_the_past_and_not_the_future(sim):
    sim.step(100)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        sim.kill(0)
        sim.step(50)
        os.write(writer, f"{sim.cycle} {sim.active()}".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"150 1"
    assert (sim.cycle, sim.active()) == (100, 0)
    os.close(reader)


def wave_times(path):
    """First and last time of a waveform in ns, from its header (FST: block 0 of 329 bytes) or its time marks (VCD)."""
    if path.suffix == ".vcd":
        header, marks = path.read_text().split("$enddefinitions $end")
        assert "$timescale 1ns $end" in header
        times = [int(line[1:]) for line in marks.splitlines() if line.startswith("#")]
        return times[0], times[-1]
    kind, length, first, last, endian = struct.unpack(">BQQQ8s", path.read_bytes()[:33])
    assert (kind, length) == (0, 329) and struct.unpack("=d", endian) == (math.e,)
    assert struct.unpack("b", path.read_bytes()[73:74]) == (-9,), "power of ten of a time unit"
    return first, last


@pytest.mark.parametrize("kind", ["fst", "vcd"])
def test_writes_waves_of_a_window(tmp_path, kind):
    sim = Simulation(VerilatedPair(build_library(stub(tmp_path, 64), trace=kind)))
    sim.step(10)
    sim.trace(tmp_path / f"window.{kind}")
    sim.step(100)
    sim.trace_close()
    assert wave_times(tmp_path / f"window.{kind}") == (100, 1095)       # ns: cycles 10 to 109, both edges


def test_foreign_tops_are_refused_with_the_missing_names(tmp_path):
    with pytest.raises(ValueError, match="lacks the ports detector"):
        data_width(STUB.replace("input [1:0] detector;", "").replace("@M@", "76"))
    with pytest.raises(ValueError, match="no module spps_pair or spps_board"):
        data_width("module other; endmodule")
    with pytest.raises(ValueError, match="66 bits wide"):
        data_width(STUB.replace("@M@", "65"))
