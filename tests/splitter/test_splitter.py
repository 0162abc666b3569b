"""Message splitter: parameters and the cocotb bench."""

import pytest
from spps.params import TINY
from spps.splitter import MessageSplitter
from spps_sim.model.splitter import checksum, parse_options, split
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.slow
@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_splits_frames_as_the_model(width, simulator):
    count = 10000 if simulator == "verilator" else 400        # Icarus runs 640 clocks a second
    run_bench(MessageSplitter(TINY.replace(data_width=width)), "tests.splitter.bench_splitter", name="splitter", simulator=simulator, parameters={"width": width, "count": count})


def test_model_computes_published_checksum():
    # RFC 1071 §3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2


def test_model_reads_a_frame_written_by_hand():
    frame = bytes.fromhex(
        "0200 5e5d 5001 0211 2233 4455 0800" "4500 0029 0001 0000 4006 66cc 0a00 0001 0a00 0002"
        "04d2 0050 0000 0001 0000 0002 5018 2000 0000 0000" "41 0000000000")
    assert split(frame, port=1, mac=0x02005E5D5001)[0] == "tcp_checksum"
    assert parse_options(bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307"), True) == {
        "mss": 1460, "wscale": 7, "options": 15, "ts_val": 1, "ts_ecr": 0, "sack_left": 0, "sack_right": 0}
    assert parse_options(b"\x05\x00\x02\x04", True)["options"] == 0
