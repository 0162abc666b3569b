"""Campaigns of crossed faults on the pair without RTL: results, going on, workers, replay."""
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from spps.tools.errors import ToolError
from spps_sim.campaign import crossed
from spps_sim.campaign.case import Case
from spps_sim.campaign.fork import threads
from spps_sim.campaign.plan import FAKE
from spps_sim.campaign.pool import Pool, run_request
from spps_sim.campaign.tree import sources_digest
from tests.campaign.env_campaign import Env, InProcess

ROOT = Path(__file__).parents[2]


def rows(env):
    with sqlite3.connect(env.out.parent / "all.sqlite") as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM cases ORDER BY line")]


def same(a, b):
    """Whether rows agree in all but the run that made them."""
    return [r | {"run": 0} for r in a] == [r | {"run": 0} for r in b]


def test_a_sound_pair_passes_and_leaves_its_results(tmp_path):
    env = Env(tmp_path)
    summary, printed = env.run()
    assert (summary["cases"], summary["passed"], summary["failed"]) == (12, 12, 0)
    assert json.loads(env.out.read_text()) == summary
    found = rows(env)
    assert len(found) == 12 and {row["failure"] for row in found} == set(FAKE)
    assert {row["outcome"] for row in found} == {"survived"}
    assert all(row["takeover_cycles"] == 300 for row in found if row["failure"] in ("kill", "freeze"))
    assert "12 of 12 cases passed" in printed and summary["replay"].split()[-1] in {row["line"] for row in found}


def test_it_is_the_same_by_seed_and_another_one_by_another(tmp_path):
    first, again, other = (Env(tmp_path / name) for name in "abc")
    for env, seed in ((first, 3), (again, 3), (other, 4)):
        env.out.parent.mkdir()
        env.run(seed=seed)
    assert same(rows(first), rows(again))
    assert not {row["line"] for row in rows(first)} & {row["line"] for row in rows(other)}


def test_it_goes_on_where_it_was_interrupted(tmp_path):
    whole, env = Env(tmp_path / "whole"), Env(tmp_path / "part")
    for one in (whole, env):
        one.out.parent.mkdir()
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        env.run(pool=InProcess(fails=1))
    before = len(rows(env))
    assert 0 < before < 12
    assert json.loads(env.out.read_text())["cases"] == before, "what there is by then is shown"
    rest = InProcess()
    _, printed = env.run(pool=rest)
    assert sum(len(request["cases"]) for request in rest.requests) == 12 - before
    assert f"{before} cases are in" in printed
    assert same(rows(env), rows(whole))
    nothing = InProcess()
    env.run(pool=nothing)
    assert nothing.requests == []
    fresh = InProcess()
    env.run(pool=fresh, fresh=True)
    assert sum(len(request["cases"]) for request in fresh.requests) == 12


def test_results_of_other_sources_are_not_taken_for_these(tmp_path, monkeypatch):
    env = Env(tmp_path)
    env.run(4)
    monkeypatch.setattr(crossed, "sources_digest", lambda preset: "others")
    with pytest.raises(ToolError, match=r"all.sqlite has cases of other sources \(.*\); --fresh starts over"):
        env.run(4)
    env.run(4, fresh=True)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "all.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ToolError, match="all.sqlite: file is not a database; --fresh starts over"):
        Env(tmp_path).run(4)


class Loses(InProcess):
    """Loses the process of every shard with cases after its first result."""

    def lines(self, request):
        lines = super().lines(request)
        return lines if "cases" not in request else [*lines[:2], {"lost": "as if it had no memory"}]


def test_a_case_that_is_lost_with_its_process_has_failed(tmp_path):
    losing = Loses()
    summary, printed = Env(tmp_path).run(pool=losing)
    assert summary["passed"] == len(losing.requests) and summary["failed"] == 12 - len(losing.requests) > 5
    assert all(failure["why"] == ["as if it had no memory"] for failure in summary["failures"])
    assert summary["failures"][0]["replay"] in printed


def test_workers_of_dask_give_the_same_results_from_processes_with_one_thread(tmp_path):
    """A worker has threads, so it must not fork; the process that it starts for a shard has one."""
    env, alone = Env(tmp_path / "dask"), Env(tmp_path / "alone")
    for one in (env, alone):
        one.out.parent.mkdir()
    alone.run()
    heard = []

    class Listens(Pool):
        def run(self, requests):
            for request, lines in super().run(requests):
                heard.extend(line["threads"] for line in lines if "threads" in line)
                yield request, lines

    workers = Listens(2, sources=sources_digest("fake"))
    with workers:
        counts = workers.client.run(threads)
        assert len(counts) == 2 and min(counts.values()) > 1, "a worker has other threads"
    env.run(pool=Listens(2))
    assert same(rows(env), rows(alone))
    assert len(heard) >= 2 and set(heard) == {1}


def test_a_process_with_threads_refuses_to_run_a_shard(tmp_path):
    code = ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start();"
            "from spps_sim.campaign.shard import main; main()")
    done = subprocess.run([sys.executable, "-c", code], input="{}\n", capture_output=True, text=True)
    assert done.returncode == 1 and "a process with 2 threads must not fork" in done.stderr


def test_a_worker_with_other_sources_is_refused():
    with pytest.raises(ToolError, match="other sources"):
        run_request({"setting": ["plain", "none", 1, "fake"], "library": ""}, sources="others")


def test_what_a_shard_says_when_it_fails_is_its_last_word():
    (said,) = run_request({"setting": ["plain", "nowhere", 1, "fake"], "library": ""})
    assert said == {"lost": "ValueError: link 'nowhere': expected one of none, loss, duplicate, reorder, corrupt, "
                            "truncate, replay, delay, mixed"}


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(Pool, "TIMEOUT_S", 1)
    with pytest.raises(ToolError, match="--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there"), \
            Pool(1, "tcp://127.0.0.1:9"):
        pass


def test_a_cluster_runs_it(tmp_path):
    """--scheduler with the address of a cluster that is there."""
    with Pool(1) as cluster:
        address = cluster.client.scheduler.address
        done = subprocess.run(
            [sys.executable, "-m", "spps", "campaign", "--all", "--preset", "fake", "--cases", "4", "--scheduler",
             address.removeprefix("tcp://"), "--out", str(tmp_path / "summary.json")], capture_output=True, text=True)
    assert done.returncode == 0 and "4 of 4 cases passed" in done.stdout, done.stdout + done.stderr


def test_the_command_that_replays_a_case_runs(tmp_path):
    summary, _ = Env(tmp_path).run(4)
    command = f"{summary['replay']} --preset fake --out {tmp_path / 'summary.json'}"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    line = command.split()[3]
    assert done.returncode == 0 and f"{line}: " in done.stdout and "pass\n" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / f"replay_{line.replace(':', '_')}" / "server.pcapng").stat().st_size > 1000


def test_a_case_is_named_by_its_line():
    case = Case.parse("small:double:mixed:7:9123")
    assert case.line == "small:double:mixed:7:9123" and case.setting.scenario().mss == 128
    assert case.random().random() == Case.parse(case.line).random().random()


@pytest.mark.parametrize("line, says", [
    ("small:double:mixed:7", "expected a cycle or a case, VARIANT:FAILURE:LINK:SEED:CYCLE"),
    ("huge:double:mixed:7:1", "variant 'huge': expected one of plain, server"),
    ("small:fire:mixed:7:1", "failure 'fire': expected one of nothing, kill"),
    ("small:double:wet:7:1", "link 'wet': expected one of none, loss"),
])
def test_a_line_that_names_no_case_is_refused(line, says):
    with pytest.raises(ValueError, match=says):
        Case.parse(line)
