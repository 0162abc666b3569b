"""Message splitter: the model by itself, the table of verdicts, and the cocotb bench."""
import pytest

from spps.params import TINY
from spps.splitter import MessageSplitter, Verdict
from spps.splitter.checks import CHECKS
from spps_sim.model.splitter import checksum, parse_options, split
from spps_sim.testbench.runner import run_bench, simulations
from tests.volume import volume


@pytest.mark.slow
@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_splits_frames_as_the_model(width, simulator):
    # every kind of frame has come after 1000; Icarus runs 640 clocks a second
    count = volume(120, 400) if simulator == "icarus" else volume(1500, 10_000)
    run_bench(MessageSplitter(TINY.replace(data_width=width)), "tests.splitter.bench_splitter", name="splitter",
              simulator=simulator, parameters={"width": width, "count": count})


def test_model_computes_published_checksum():
    # RFC 1071 §3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2


def test_model_reads_a_frame_written_by_hand():
    # pseudo header: 0a00 + 0001 + 0a00 + 0002 + 0006 + 0015 = 141e
    # segment: 04d2 + 0050 + 0001 + 0002 + 5018 + 2000 + 4100 = b63d; checksum: ~(141e + b63d) = 35a4
    head = "0200 5e5d 5001 0211 2233 4455 0800" "4500 0029 0001 0000 4006 66cc 0a00 0001 0a00 0002"
    tcp, end = "04d2 0050 0000 0001 0000 0002 5018 2000", "0000" "41 0000000000"
    frame = bytes.fromhex(head + tcp + "35a4" + end)
    ours = {"port": 1, "mac": 0x02005E5D5001, "vips": (0x0A000009, 0x0A000002)}
    verdict, event, payload = split(frame, **ours)
    assert (verdict, payload) == ("events", b"A")
    assert event == {
        "kind": 1, "iface": 1, "protocol": 6, "checks": 0, "src_ip": 0x0A000001, "dst_ip": 0x0A000002, "src_port": 1234,
        "dst_port": 80, "seq": 1, "ack": 2, "window": 0x2000, "tcp_flags": 0x18, "payload_len": 1, "filled": 1,
        "plain": 1, "stamped": 0, "mss": 0, "wscale": 0, "options": 0, "ts_val": 0, "ts_ecr": 0, "sack_left": 0,
        "sack_right": 0, "src_mac_hi": 0x0211, "src_mac_lo": 0x22334455}
    assert split(frame, **ours | {"mac": 0x02005E5D5002})[0] == "not_for_us"
    assert split(frame, **ours | {"port": 0})[0] == split(frame, **ours | {"port": 2})[0] == "not_our_address"
    assert split(frame, **ours | {"vips": (0x0A000009, 0)})[0] == "not_our_address"
    for tag, port, vlans in (("8100 0000", 1, ()), ("8100 f000", 1, (5, 6)), ("8100 0006", 0, (5, 6)),
                             ("8100 f006", 2, (5, 6))):
        tagged = frame[:12] + bytes.fromhex(tag) + frame[12:]
        assert split(tagged, **ours | {"port": port}, vlans=vlans) == (verdict, event, payload)
    assert split(frame[:12] + bytes.fromhex("8100 0007") + frame[12:], **ours, vlans=(5, 6))[0] == "unknown_vlan"
    assert split(bytes.fromhex(head + tcp + "35a5" + end), **ours)[0] == "tcp_checksum"


def arp_packet(sender, address):
    """An ARP request written by hand, for 10.0.0.2."""
    return bytes.fromhex("ffff ffff ffff 0211 2233 4455 0806" "0001 0800 0604 0001" + sender + address
                         + "0000 0000 0000 0a00 0002")


@pytest.mark.parametrize("sender, address, port, verdict", (
    ("0211 2233 4455", "0a00 0002", 1, "address_conflict"), ("0200 5e5d 5001", "0a00 0002", 1, "own_address"),
    ("0211 2233 4455", "0a00 0002", 0, "own_address"), ("0211 2233 4455", "0a00 0009", 0, "address_conflict"),
    ("0211 2233 4455", "0000 0000", 1, "events"), ("0211 2233 4455", "0a00 0003", 1, "events")))
def test_model_finds_another_user_of_our_address_on_its_network(sender, address, port, verdict):
    """RFC 5227 §2.4: our address, somebody else's MAC address; the same frame of our other unit is no conflict."""
    frame = arp_packet(sender, address)
    assert split(frame, port=port, mac=0x02005E5D5001, vips=(0x0A000009, 0x0A000002))[0] == verdict


@pytest.mark.parametrize("sender, verdict", (
    ("0211 2233 4455", "events"), ("0000 0000 0000", "arp_malformed"), ("0111 2233 4455", "arp_malformed"),
    ("ffff ffff ffff", "arp_malformed"), ("0200 5e5d 5001", "own_address")))
def test_model_refuses_arp_senders_that_are_no_other_station(sender, verdict):
    """An answer to one would leave to nobody, to everybody or to ourselves (RFC 826, RFC 1122 §2.3.2)."""
    frame = arp_packet(sender, "0a00 0001")
    assert split(frame, port=1, mac=0x02005E5D5001, vips=(0x0A000009, 0x0A000002))[0] == verdict


def test_model_reads_options_written_by_hand():
    assert parse_options(bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307"), True) == {
        "mss": 1460, "wscale": 7, "options": 15, "ts_val": 1, "ts_ecr": 0, "sack_left": 0, "sack_right": 0}
    assert parse_options(b"\x05\x00\x02\x04", True)["options"] == 0


def test_each_verdict_but_the_late_ones_has_a_check():
    late = {Verdict.EVENT, Verdict.SCRATCHPAD_FULL, Verdict.PAYLOAD_LENGTH}
    assert {check.verdict for check in CHECKS} == set(Verdict) - late


def test_counters_are_the_verdicts_in_order():
    assert list(MessageSplitter.COUNTERS) == ["frames", *(verdict.counter for verdict in Verdict)]
    assert [verdict.value for verdict in Verdict] == list(range(len(Verdict)))
