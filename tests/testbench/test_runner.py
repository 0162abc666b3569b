"""A bench that fails prints a command that runs the same test again, with its seed and a waveform."""
import os
import re
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, Out

from spps.tools.paths import BUILD
from spps_sim.testbench.runner import run_bench, simulations

ROOT = Path(__file__).parents[2]
INSIDE = "SPPS_TEST_OF_REPLAY"          # set for the test that this test runs again
WAVES = re.compile(r"^waves: (.*)$", re.M)


class CounterUnderTest(Component):
    """Counts clocks."""

    count: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(self.count + 1)
        return m


def bench(broken, simulator, **arguments):
    return run_bench(CounterUnderTest(), "tests.testbench.bench_runner", name="counter_under_test", simulator=simulator,
                     parameters={"break": broken}, **arguments)


def is_waveform(path):
    return path.is_file() and path.stat().st_size > 100 and (path.read_bytes()[:9]
                                                             == bytes((0, *(329).to_bytes(8, "big")))
                                                             if path.suffix == ".fst"
                                                             else "$timescale" in path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("what, simulator", simulations(("it's [a] \"b\"",), "it's [a] \"b\""))
def test_the_replay_line_of_a_failure_runs_this_test_with_its_seed_and_waves(what, simulator, capsys, request):
    again = INSIDE in os.environ
    with pytest.raises(AssertionError,
                       match=f"1 of 1 cocotb tests failed .seed {os.environ.get('SPPS_SEED', 1)}, {simulator}"):
        bench(1, simulator)
    said = capsys.readouterr().out
    line = re.search(r"^replay: (.*)$", said, re.M)[1]
    if again:
        (waves,) = WAVES.findall(said)
        assert is_waveform(Path(waves)), "the second run has no waveform"
        print(f"ran again: {request.node.nodeid} with seed {os.environ['SPPS_SEED']}, {line}")
        return
    done = subprocess.run(line + " -s", shell=True, cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {INSIDE: "1"})
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert f"ran again: {request.node.nodeid} with seed {os.environ.get('SPPS_SEED', 1)}, {line}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_waves_are_recorded_when_asked_for_and_have_a_build_of_their_own(simulator, monkeypatch, capsys):
    monkeypatch.delenv("SPPS_WAVES", raising=False)
    plain = bench(0, simulator)
    assert plain == BUILD / "cocotb" / simulator / "counter_under_test_break0"
    assert not WAVES.findall(capsys.readouterr().out)
    monkeypatch.setenv("SPPS_WAVES", "1")
    folder = bench(0, simulator)
    (waves,) = WAVES.findall(capsys.readouterr().out)
    assert folder.name == plain.name + "_waves" and Path(waves).parent == folder and is_waveform(Path(waves))
    assert not list(plain.glob("*.fst")) and not list(plain.glob("*.vcd"))
