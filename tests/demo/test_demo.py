"""A small `spps demo` on the command line, with Linux sockets where permitted: verdict, figures, captures, report."""
import json
import re
import shutil
import subprocess
import sys

import pytest

from spps_sim.network.namespaces import MissingPrivilege, require_privilege

CONNECTIONS, SIZE = 4, 65_536


def best_endpoints():
    """What --endpoints auto has to choose here."""
    try:
        require_privilege()
    except MissingPrivilege:
        return "python"
    return "linux"


def packets(capture, display_filter):
    """How many packets of a capture tshark finds with a display filter."""
    done = subprocess.run(["tshark", "-r", str(capture), "-Y", display_filter, "-T", "fields", "-e", "frame.number"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return len(done.stdout.split())


@pytest.mark.slow
def test_a_small_demo_passes_and_leaves_figures_captures_and_a_report(tmp_path, lacking):
    command = [sys.executable, "-m", "spps", "demo", "--seed", "11", "--connections", str(CONNECTIONS),
               "--bytes", str(SIZE), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--seed 11" in done.stdout

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdict"] == "pass" and summary["seed"] == 11 and summary["endpoints"] == best_endpoints()
    assert summary["connections"] == CONNECTIONS and summary["bytes_up"] == summary["bytes_down"] == CONNECTIONS * SIZE
    assert summary["violations"] == 0 and summary["ack_rule_checks"] > CONNECTIONS
    assert 0 < summary["kill_cycle"] < summary["simulated_cycles"] and 0 < summary["takeover_cycles"] < 10_000
    assert summary["second_killed_unit"] == 1 - summary["killed_unit"] and summary["second_takeover_cycles"] < 10_000
    assert summary["kill_cycle"] < summary["revived_cycle"] < summary["protected_cycle"] < summary["second_kill_cycle"]
    assert summary["longest_stall_ms"] > 0 and summary["sim_cycles_per_s"] > 0

    report = (tmp_path / "report.html").read_text()
    outside = re.findall(r"(?:src|href)=|@import|https?://|url\((?!#)", report)
    assert not outside, f"the report needs other files: {outside}"
    assert f"<th>kill cycle</th><td>{summary['kill_cycle']}</td>" in report
    assert f"<td>{summary['takeover_cycles']}</td>" in report
    assert "the active dies" in report and "the standby takes over" in report
    assert report.count(">equal</td>") == 2 * CONNECTIONS

    assert set(summary["captures"]) == {"client", "server", "sync"}
    if shutil.which("tshark") is None:
        lacking("the captures were not opened: tshark is not installed (apt-get install tshark)")
    for link, name in summary["captures"].items():
        capture = tmp_path / name
        assert packets(capture, "frame") > 10
        assert packets(capture, "_ws.malformed") == 0, f"{name}: malformed packets"
        if link != "sync":
            assert packets(capture, "tcp.flags.syn == 1 && tcp.flags.ack == 0") >= CONNECTIONS
            assert packets(capture, "tcp.flags.fin == 1") >= 2 * CONNECTIONS
            assert packets(capture, "tcp.flags.reset == 1") == 0
            assert packets(capture, "frame.comment contains \"killed\"") == 2
