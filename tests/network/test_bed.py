"""What a bed says of itself, keys, options of `spps live`. The networks themselves: tests/system/test_bed.py."""
import json
import os

import pytest
from click.testing import CliRunner

from spps.cli import main
from spps.tools.errors import ToolError
from spps_sim.network.bed import bed_path, read_bed
from spps_sim.network.unit import RATE, TIMES_MS, key_registers


def test_a_bed_is_found_beside_the_control_socket(tmp_path):
    path = bed_path(tmp_path / "live.sock")
    assert path == tmp_path / "live-bed.json"
    for text in (None, "", "{}", json.dumps({"pid": 2**22 + 1})):   # none, cut, something else, a dead process
        if text is not None:
            path.write_text(text)
        with pytest.raises(ToolError, match="no bed at .*live-bed.json: start `spps live --bed` first"):
            read_bed(tmp_path / "live.sock")
    path.write_text(json.dumps({"pid": os.getpid(), "switch": "x"}))
    assert read_bed(tmp_path / "live.sock")["switch"] == "x"


def test_a_key_is_four_registers_low_word_first():
    assert key_registers("000102030405060708090a0b0c0d0e0f") == {
        "sync_key_a0": 0x0C0D0E0F, "sync_key_a1": 0x08090A0B, "sync_key_a2": 0x04050607, "sync_key_a3": 0x00010203}


@pytest.mark.parametrize("key", ["", "12", "0" * 32, "g" * 32, "1" * 33])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(ToolError, match="key: expected 32 hexadecimal digits, not all 0"):
        key_registers(key)


def test_the_times_are_those_that_the_readme_of_failover_asks_for():
    assert TIMES_MS["lease"] >= 3 * TIMES_MS["hb_interval"] and TIMES_MS["takeover_after"] > TIMES_MS["lease"]
    assert RATE * TIMES_MS["hb_interval"] // 1000 > 300, "a heartbeat is longer than a record"


@pytest.mark.parametrize("options, text", (
    (("--bed", "--unit", "0"), "one process is either the bed or a unit"),
    (("--rate", "50000"), "--rate: only with --unit"),
    (("--bed", "--metrics", "0"), "--metrics: not with --bed"),
    (("--unit", "2"), "'--unit': 2 is not in the range 0<=x<=1"),
))
def test_options_that_do_not_go_together_are_refused(options, text):
    result = CliRunner().invoke(main, ["live", *options])
    assert result.exit_code == 2 and text in result.output
