"""What the commands do that no other test runs: registers, bench, verilog, synth, build folder, progress."""

import json
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import spps.mmc
from spps.cli import main
from spps.mmc import register_addresses
from spps.params import GBE, TINY
from spps.tools import paths
from spps.tools.options import ByteCount
from spps_sim.cli import building
from tests.cli.env_cli import Env


def invoke(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_registers_are_those_of_the_preset():
    assert json.loads(invoke("registers", "--preset", "gbe", "--format", "json")) == register_addresses(GBE)
    assert invoke("registers", "--preset", "gbe").startswith("# Registers of one SPPS (gbe)\n")


def test_the_register_documentation_is_current():
    folder = Path(spps.mmc.__file__).parent
    assert (folder / "REGISTERS.md").read_text(encoding="utf-8") == invoke("registers"), "run: make docs"
    assert (folder / "registers.json").read_text(encoding="utf-8") == invoke("registers", "--format", "json"), (
        "run: make docs"
    )


def test_bench_measures_both_and_keeps_figures_of_others(monkeypatch, tmp_path):
    monkeypatch.setattr("spps_sim.measure.events.figures", lambda: {"data_segment": 12.5})
    monkeypatch.setattr("spps_sim.measure.dispatch.measure", lambda: {"new": 83})
    out = tmp_path / "made" / "summary.json"
    out.parent.mkdir()
    out.write_text('{"other": 1}')
    said = invoke("bench", "--only", "clocks", "--out", out)
    assert "data_segment" in said and "12.5 clocks" in said and "83 clocks" in said
    assert json.loads(out.read_text()) == {
        "other": 1,
        "cycles_per_event": {"data_segment": 12.5},
        "dispatch_cycles": {"new": 83},
    }


def test_bench_measures_the_goodput_of_the_presets_that_are_asked_for(monkeypatch, tmp_path):
    built, measured = [], []
    monkeypatch.setattr("spps_sim.cli.building.build", lambda params, err: built.append(params.name))
    monkeypatch.setattr("spps_sim.measure.goodput.measure_all",
                        lambda wanted, processes, done: measured.extend(wanted) or [{"figure": processes}])
    monkeypatch.setattr("spps_sim.measure.goodput.table", lambda figures: "the table")
    said = invoke("bench", "--only", "goodput", "--preset", "gbe", "--processes", "3", "--out", tmp_path / "a.json")
    assert "the table\n" in said and built == ["gbe"] and {case.preset for case in measured} == {"gbe"}
    assert json.loads((tmp_path / "a.json").read_text()) == {"goodput": [{"figure": 3}]}


def test_bench_measures_failover_over_the_number_of_connections(monkeypatch, tmp_path):
    built = []
    monkeypatch.setattr("spps_sim.cli.building.build", lambda params, err: built.append(params.name))
    monkeypatch.setattr("spps_sim.measure.failover.measure", lambda connections: {"connections": connections})
    monkeypatch.setattr("spps_sim.measure.failover.table", lambda figures: f"{len(figures)} lines")
    said = invoke("bench", "--only", "failover", "--out", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())["failover"]
    assert built == ["live"] and [f["connections"] for f in found] == [1, 16, 64, 256] and "4 lines\n" in said


@pytest.fixture
def written(monkeypatch):
    """(params, folder) of what `spps verilog` writes; nothing is generated."""
    calls = []

    def write(name):
        def one(params, folder):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{name}.v"
            path.write_text("module m;\nendmodule\n")
            calls.append((params, path))
            return path

        return one

    monkeypatch.setattr("spps.gen.write_spps", write("spps"))
    monkeypatch.setattr("spps.gen.write_pair", write("spps_pair"))
    return calls


def test_verilog_writes_one_module_alone(written, tmp_path):
    invoke("verilog", "--top", "spps_pair", "--no-lint", "--out", tmp_path)
    assert [path.name for _, path in written] == ["spps_pair.v"]


def test_verilog_writes_the_unit_and_the_pair_and_lints_them(written, monkeypatch, tmp_path):
    linted = []
    monkeypatch.setattr("spps.gen.lint_verilog", lambda path, top: linted.append((path.name, top)))
    said = invoke("verilog", "--preset", "gbe", "--data-width", "64", "--out", tmp_path)
    assert [params for params, _ in written] == [GBE.replace(data_width=64)] * 2
    assert linted == [("spps.v", "spps"), ("spps_pair.v", "spps_pair")] and "spps_pair.v: 2 lines, lint clean" in said
    monkeypatch.setattr("spps.gen.find_verilator", lambda: None)
    linted.clear()
    assert "spps.v: 2 lines, not linted" in invoke("verilog", "--out", tmp_path) and not linted


def test_synth_passes_on_what_was_asked(monkeypatch, tmp_path):
    calls = []
    summary = {"device": "d", "speed_grade": 8, "lut4": 1, "ff": 2, "ebr": 3, "cells": {"LUT4": 1}, "blocks": {}}
    monkeypatch.setattr("spps_boards.cli.synthesize", lambda *a, **k: calls.append((a, k)) or summary)
    monkeypatch.setattr("spps_boards.cli.synthesize_block", lambda *a, **k: calls.append((a[:2], a[3], k)) or summary)
    assert "### tiny: d grade 8" in invoke(
        "synth", "--preset", "tiny", "--seeds", "3,4", "--no-route", "--out", tmp_path
    )
    assert "### core, preset gbe, alone" in invoke("synth", "--block", "core", "--freq", "150")
    assert calls == [
        (("tiny", tmp_path), {"seeds": (3, 4), "route": False, "target_mhz": 100}),
        (("core", "gbe"), paths.BUILD / "synth" / "core", {"seeds": (1,), "route": True, "target_mhz": 150}),
    ]


def test_files_go_into_the_build_folder_from_any_folder(tmp_path):
    env = Env(tmp_path)
    done = env.run("campaign", "--preset", "fake", "--cycles", "3", "--processes", "1")
    assert done.returncode == 0 and json.loads((env.build / "campaign" / "summary.json").read_text())["passed"] == 3, (
        done.stdout + done.stderr
    )
    assert list(env.here.iterdir()) == []


def test_a_campaign_of_all_cycles_has_every_one(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "spps_sim.cli.campaign.run_campaign", lambda cases, *a, **k: asked.append(cases) or {"failed": 0}
    )
    for cycles in ("all", "17"):
        invoke("campaign", "--preset", "fake", "--cycles", cycles)
    assert asked == [None, 17]


def test_a_campaign_that_fails_ends_with_1(monkeypatch):
    monkeypatch.setattr("spps_sim.cli.campaign.run_campaign", lambda *a, **k: {"failed": 1})
    assert CliRunner().invoke(main, ["campaign", "--preset", "fake"]).exit_code == 1


@pytest.mark.parametrize("text, count", [("1", 1), ("4096", 4096), ("64k", 65536), ("1M", 1 << 20), ("2G", 2 << 30)])
def test_bytes_may_have_a_unit(text, count):
    assert ByteCount().convert(text, None, None) == count


class Steps:
    """Stands for what builds a simulation."""

    def __init__(self, monkeypatch):
        self.traces = []
        self.seconds = 0.1
        monkeypatch.setattr(building, "POLL_S", 0.01)
        monkeypatch.setattr("spps_sim.backend.verilated.pair_verilog", lambda params: time.sleep(self.seconds))
        monkeypatch.setattr("spps_sim.backend.verilated.build_library", self.library)
        monkeypatch.setattr("spps.tools.paths.exclusive", lambda name: nullcontext())

    def library(self, verilog, trace):
        time.sleep(self.seconds)
        self.traces.append(trace)


def test_a_build_says_its_steps_line_by_line_where_there_is_no_terminal(monkeypatch, capsys):
    steps = Steps(monkeypatch)
    building.build(TINY, "fst")
    lines = [
        "generating Verilog of the pair, preset tiny",
        "building the simulation with waveforms",
        "simulation ready after 0 s",
    ]
    out, err = capsys.readouterr()
    assert out.splitlines() == lines and err == "" and steps.traces == ["fst"]
    building.build(TINY, err=True)
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [lines[0], "building the simulation", lines[2]]
    steps.seconds = 0
    monkeypatch.setattr(building, "POLL_S", 5)
    building.build(TINY)
    assert capsys.readouterr().out == "", "nothing to say when it is there already"


def test_a_build_shows_compiled_files_on_a_terminal(monkeypatch, capsys):
    Steps(monkeypatch)
    monkeypatch.setattr(building, "_compiled", lambda: (3, 40))
    with building._step(Console(force_terminal=True, width=100), "building the simulation"):
        time.sleep(0.4)
    assert "building the simulation: 3 of 40 files" in capsys.readouterr().out


def test_boundaries_page_is_current():
    page = Path(__file__).resolve().parents[2] / "hdl/spps/BOUNDARIES.md"
    assert page.read_text(encoding="utf-8") == invoke("boundaries"), "run: make docs"
    assert "| `lookup.LookupController` |" in page.read_text(encoding="utf-8")
