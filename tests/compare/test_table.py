"""What is made of the results, and the table."""
import json

import pytest
from rich.console import Console

from spps.tools.errors import ToolError
from spps_sim.compare.run import judge
from spps_sim.compare.table import print_table, read_demo, rows

DEMO = {"verdict": "pass", "seed": 7, "endpoints": "linux", "connections": 4, "bytes_up": 4 << 20,
        "bytes_down": 4 << 20, "first_frame_cycles": 2530, "longest_stall_ms": 208.0}
SUMMARY = {"seed": 7, "connections": 4, "bytes_each_way": 1 << 20, "rate": 1 << 18, "slow": "receiver", "limit_s": 15.0,
           "connections_lost": 3, "bytes_acked_undelivered": {"up": 120, "down": 34},
           "bytes_wrong": {"up": 0, "down": 5},
           "ends": {"client": {"complete": 1, "broken": 2, "hung": 1},
                    "server": {"complete": 1, "broken": 0, "hung": 3}},
           "served_again_s": 3.214}


def end(role, connection, received, acked, *, matching=None, error=None):
    result = {"role": role, "connection": connection, "ok": error is None, "received": received, "acked": acked,
              "matching": received if matching is None else matching}
    return result | ({"error": error} if error else {})


def test_a_connection_is_lost_when_one_of_its_ends_is():
    figures = judge([
        end("client", 0, 100, 100), end("server", 0, 100, 100),
        end("client", 1, 30, 90, error="[Errno 104] Connection reset by peer"),
        end("server", 1, 50, 70, error="hung: neither end nor error"),
        end("client", 2, 100, 100), end("server", 2, 80, 100, error="[Errno 113] No route to host"),
        {"role": "client", "connection": 3, "ok": False, "error": "[Errno 111] Connection refused"},
    ], 4)
    assert figures["connections_lost"] == 3
    assert figures["ends"] == {"client": {"complete": 2, "broken": 2, "hung": 0},
                               "server": {"complete": 1, "broken": 1, "hung": 2}}
    assert figures["bytes_acked_undelivered"] == {"up": 90 - 50 + 100 - 80, "down": 70 - 30}
    assert figures["bytes_wrong"] == {"up": 0, "down": 0}


def test_wrong_bytes_lose_a_connection_that_ended_well():
    bent = end("server", 0, 110, 100, matching=60) | {"ok": False}
    figures = judge([end("client", 0, 100, 100), bent], 1)
    assert figures["connections_lost"] == 1 and figures["bytes_wrong"] == {"up": 50, "down": 0}
    assert figures["ends"]["server"] == {"complete": 1, "broken": 0, "hung": 0}
    assert figures["bytes_acked_undelivered"] == {"up": 0, "down": 0}, "bytes that came twice make up for none"


def test_bytes_that_arrived_before_their_ack_do_not_count_against_others():
    figures = judge([end("client", 0, 0, 10, error="hung"), end("server", 0, 50, 0, error="hung"),
                     end("client", 1, 0, 60, error="hung"), end("server", 1, 20, 0, error="hung")], 2)
    assert figures["bytes_acked_undelivered"] == {"up": 40, "down": 0}


def test_each_figure_beside_the_demo():
    table = {figure: (theirs, ours) for figure, theirs, ours in rows(SUMMARY, DEMO)}
    assert table["connections lost"] == ("3 of 4", "0 of 4")
    assert table["connections, bytes each way each"] == ("4, 1048576; receivers at 262144 bytes/s",
                                                         "4, 1048576; as fast as the simulation")
    assert table["bytes acknowledged to the sender but never delivered, up / down"] == ("120 / 34", "0 / 0")
    assert table["bytes doubled or wrong, up / down"] == ("0 / 5", "0 / 0")
    assert table["ends"] == ("client: 1 complete, 2 broken, 1 hung; server: 1 complete, 3 hung",
                             "client: 4 complete; server: 4 complete")
    assert table["from the kill to the first new connection that is served"] == ("3.21 s", "not measured")
    first = table["from the kill to the first frame of the new active, on a live connection"]
    assert first[0] == "-" and "25.3 µs (2530 cycles" in first[1]


def test_a_demo_that_failed_claims_nothing():
    table = {figure: ours for figure, _, ours in rows(SUMMARY, DEMO | {"verdict": "fail"})}
    assert table["connections lost"] == "the demo failed" and "0 / 0" not in table.values()


def test_a_service_that_did_not_come_back_says_so():
    table = {figure: theirs for figure, theirs, _ in rows(SUMMARY | {"served_again_s": None}, None)}
    assert table["from the kill to the first new connection that is served"] == "not within 15 s"


def printed(demo, path):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    print_table(console, SUMMARY, demo, path)
    return console.export_text()


def test_without_a_demo_the_table_says_what_to_run(tmp_path):
    path = tmp_path / "summary.json"
    assert read_demo(path) is None
    said = printed(None, path)
    assert "SPPS (no demo)" in said and "spps demo, which leaves them in" in said and str(path) in said
    path.write_text(json.dumps(DEMO))
    said = printed(read_demo(path), path)
    assert "SPPS (demo, seed 7)" in said and "spps demo," not in said


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verdict": "pass"}', "\0"])
def test_a_file_that_is_no_summary_of_a_demo_is_refused(text, tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(ToolError, match="expected the summary.json of `spps demo`"):
        read_demo(path)
