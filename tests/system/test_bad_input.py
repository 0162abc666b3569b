"""Hostile frames in the middle of a transfer, and wrong parameters: counted or named, never a hang.

Most frames are built with scapy, which shares no code with the pair or the peers.
"""
import random
import subprocess
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from spps.params import SppsParams
from spps.ucode.asm import AssemblerError, assemble
from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.scenario import CLIENT, VIP, Scenario, Trial
from spps_sim.checker.wire import RST, parse_segment
from spps_sim.peers.frames import tcp_frame

STRANGER, STRANGER_PORT = "10.1.0.77", 7777


def ip(**fields):
    return IP(**{"src": STRANGER, "dst": VIP[0], **fields})


def tcp(**fields):
    return TCP(**{"sport": STRANGER_PORT, "dport": 81, "flags": "A", "seq": 1, "ack": 1, **fields})


def octets(pair, packet, *, source="02:00:00:00:00:77", destination=None):
    """The frame to the pair's address, or `destination`."""
    return bytes(Ether(src=source, dst=destination or pair) / packet)


V6 = IPv6(src="fe80::1", dst="fe80::2") / TCP(sport=STRANGER_PORT, dport=81)
#: TCP flags that `tcp_flag_filter` drops
UNUSUAL = "", "F", "FPU", "U", "SF", "SR", "FSRPAUEC"
#: counter that must name the frame -> (frames, err) for a pair whose MAC address is given as text
DROPS = {
    "splitter_frame_error": lambda pair: [(octets(pair, ip() / tcp()), True), (octets(pair, ARP()), True)],
    "splitter_runt": lambda pair: [(octets(pair, ip() / tcp())[:n], False) for n in (1, 10, 14, 33)],
    "splitter_source_address": lambda pair: [
        (octets(pair, ip() / tcp(), source="ff:ff:ff:ff:ff:ff"), False),
        *((octets(pair, ip(src=a) / tcp()), False) for a in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"))],
    "splitter_not_for_us": lambda pair: [(octets(pair, ip() / tcp(), destination=d), False)
                                         for d in ("02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01")],
    "splitter_unknown_ethertype": lambda pair: [
        (octets(pair, Raw(bytes(60))), False),
        *((bytes(Ether(dst=pair, type=kind) / Raw(bytes(60))), False) for kind in (0x88A8, 0x9000)),
        (octets(pair, Dot1Q(vlan=0) / Dot1Q(vlan=0) / ip() / tcp()), False)],
    "splitter_ipv6": lambda pair: [(octets(pair, packet), False) for packet in (V6, Dot1Q(vlan=0) / V6)],
    "splitter_unknown_vlan": lambda pair: [
        (octets(pair, Dot1Q(vlan=n, prio=n % 8) / packet), False)
        for n in (1, 77, 4095) for packet in (ip() / tcp(), ARP(pdst=VIP[0]), ip() / UDP(), Raw(bytes(60)))],
    "splitter_not_our_address": lambda pair: [
        (octets(pair, ip(dst=d) / tcp(flags=flags)), False)
        for d in ("8.8.8.8", "10.1.0.0", "10.1.0.255", "10.1.255.255", "10.255.255.255", VIP[1])
        for flags in ("S", "A", "F")],
    "splitter_arp_malformed": lambda pair: [(octets(pair, ARP(hwtype=6)).ljust(60, b"\0"), False),
                                            (octets(pair, ARP(op=9)).ljust(60, b"\0"), False)],
    "splitter_ip_version": lambda pair: [(octets(pair, ip(version=6) / tcp()), False)],
    "splitter_ip_header_length": lambda pair: [(octets(pair, ip(ihl=4) / tcp()), False),
                                               (octets(pair, ip(ihl=15, len=40) / tcp()), False)],
    "splitter_ip_length": lambda pair: [(octets(pair, ip(len=400) / tcp()), False),
                                        (octets(pair, ip() / tcp() / Raw(bytes(200)))[:100], False)],
    "splitter_ip_checksum": lambda pair: [(octets(pair, ip(chksum=0xBEEF) / tcp() / Raw(b"x" * n)), False)
                                          for n in (0, 1, 1000)],
    "splitter_destination_address": lambda pair: [(octets(pair, ip(dst=d) / tcp()), False)
                                                  for d in ("255.255.255.255", "239.1.1.1", "127.0.0.1")],
    "splitter_ip_fragment": lambda pair: [
        (octets(pair, ip(flags="MF") / tcp()), False), (octets(pair, ip(frag=64) / tcp()), False),
        # tiny: the flags are in the next one
        (octets(pair, ip(flags="MF", proto=6) / Raw(bytes(8))), False),
        # overlapping
        *((octets(pair, ip(flags="MF" * (n == 0), frag=n, proto=6) / Raw(bytes(24))), False) for n in (0, 1, 2))],
    "splitter_icmp_length": lambda pair: [(octets(pair, ip(proto=1) / Raw(bytes(n))), False) for n in range(8)],
    "splitter_icmp_checksum": lambda pair: [(octets(pair, ip() / ICMP(type=n, chksum=0x1234) / Raw(b"x" * 28)), False)
                                            for n in (0, 3, 8, 13)],
    "splitter_icmp_reply": lambda pair: [(octets(pair, ip() / ICMP(type=0) / Raw(b"x" * n)), False) for n in (0, 56)],
    "splitter_icmp_type": lambda pair: [(octets(pair, ip() / ICMP(type=n)), False) for n in (4, 5, 9, 11, 12, 13, 17)]
    + [(octets(pair, ip() / ICMP(type=8, code=1)), False)],
    "splitter_icmp_echo": lambda pair: [(octets(pair, ip() / ICMP() / Raw(b"x" * n)), False) for n in (0, 56, 300)],
    "splitter_icmp_quote_short": lambda pair: [
        (octets(pair, ip() / ICMP(type=3, code=4) / Raw(bytes(IP(src=VIP[0], dst=STRANGER) / tcp())[:n])), False)
        for n in (0, 20, 27)],
    "splitter_icmp_quote": lambda pair: [
        (octets(pair, ip() / ICMP(type=3, code=4, nexthopmtu=576)
                / Raw(bytes(IP(src=VIP[0], dst=STRANGER, **fields) / Raw(bytes(60))))), False)
        for fields in ({"proto": 17}, {"proto": 1}, {"proto": 6, "frag": 1}, {"proto": 6, "flags": "MF"},
                       {"proto": 6, "ihl": 6}, {"proto": 6, "ihl": 15}, {"proto": 6, "version": 6})],
    "splitter_udp": lambda pair: [(octets(pair, ip() / UDP(sport=53, dport=53) / Raw(b"?")), False)],
    "splitter_unknown_protocol": lambda pair: [(octets(pair, ip(proto=132) / Raw(bytes(40))), False)],
    "splitter_tcp_offset": lambda pair: [(octets(pair, ip() / tcp(dataofs=n)), False) for n in (0, 4, 15)]
    + [(octets(pair, ip(proto=6) / Raw(bytes(8))), False)],
    "splitter_tcp_checksum": lambda pair: [(octets(pair, ip() / tcp(chksum=0x1234) / Raw(b"y" * n)), False)
                                           for n in (0, 7, 1400)],
    "splitter_land": lambda pair: [(octets(pair, ip(src=VIP[0]) / tcp(sport=81, flags="S")), False)],
    "splitter_own_address": lambda pair: [(octets(pair, ip(src=a) / tcp(flags="S")), False) for a in VIP]
    + [(octets(pair, ip() / tcp(), source=pair), False),
       (octets(pair, ARP(psrc=VIP[1], pdst=CLIENT)).ljust(60, b"\0"), False)],
    "splitter_address_conflict": lambda pair: [
        (octets(pair, ARP(op=op, psrc=VIP[0], pdst=to)).ljust(60, b"\0"), False)
        for op in (1, 2) for to in (CLIENT, VIP[0])],
    "splitter_tcp_port": lambda pair: [(octets(pair, ip() / tcp(sport=0)), False),
                                       (octets(pair, ip() / tcp(dport=0)), False)],
    "splitter_tcp_flags": lambda pair: [(octets(pair, ip() / tcp(flags=flags)), False) for flags in UNUSUAL],
}
MALFORMED = [b"\2", b"\2\0\0\0", b"\2\1\0\0", b"\3\x28\0\0", b"\x08\x0a\0\0", b"\5\3\0\0", b"\xfe\xff\0\0", b"\1\1\1\2"]


def events(pair, first):
    """Frames that become events and change nothing. first: the client's first segment with payload, as bytes."""
    for flags in ("FPUA", "A", "SA", "FA", "R", "RA", "PAUEC", *UNUSUAL):
        yield octets(pair, ip() / tcp(flags=flags))                                     # on a port nobody knows
        yield octets(pair, Dot1Q(vlan=0, prio=5) / ip() / tcp(flags=flags))             # with a priority
        again = Ether(first)
        again[TCP].flags, again[TCP].seq = flags, (again[TCP].seq + (1 << 30)) % (1 << 32)
        del again[TCP].chksum
        # the same in the connection, out of its window
        yield bytes(again)
    # ICMP about a segment of no connection, and about one of this that is not in flight
    ours = Ether(first)
    for port in (81, ours[TCP].dport):
        for code in range(16):
            quoted = IP(src=VIP[0], dst=ours[IP].src, flags="DF") / TCP(
                sport=port, dport=ours[TCP].sport, seq=(ours[TCP].ack + (1 << 30)) % (1 << 32), flags="A")
            yield octets(pair, ip() / ICMP(type=3, code=code, nexthopmtu=576) / Raw(bytes(quoted)[:28]))
    old = parse_segment(first)
    # an old duplicate with bad options
    for options in MALFORMED:
        yield tcp_frame(first[:6], first[6:12], old.src, old.dst, seq=old.seq, ack=old.ack, flags=old.flags,
                        window=old.window, payload=old.payload, options=options.ljust(4, b"\0"))


@pytest.mark.slow
def test_a_transfer_is_not_harmed_by_hostile_frames_and_every_frame_is_accounted_for():
    trial = Trial(Scenario(up=20_000, down=20_000, limit=1_000_000))
    trial.start()
    sim = trial.sim

    def turn(cycles):
        trial.net.run_until(trial.net.time + cycles)

    def settle():
        """Until the splitter has judged every frame that has come."""
        turn(100)
        while (sim.backend.pending()
               or sim.read(0, "splitter_frames") < sum(raw.kind is FrameKind.IN for raw in trial.frames)):
            turn(100)

    trial.net.run_until(trial.begin + 30_000, lambda: trial.connection.state.name == "ESTABLISHED")
    turn(600)
    first = next(raw.data for raw in trial.frames
                 if raw.kind is FrameKind.IN and raw.side == 0 and (s := parse_segment(raw.data)) and s.payload)
    pair = ":".join(f"{b:02x}" for b in first[:6])
    names = [name for name in sim.registers if name.startswith("splitter_")]
    hostile = [(name, data, err) for name, make in DROPS.items() for data, err in make(pair)]
    hostile += [("splitter_events", data, False) for data in events(pair, first)]
    random.Random(trial.scenario.seed).shuffle(hostile)
    for name, data, err in hostile:
        filtered = name == "splitter_tcp_flags"
        if filtered:
            settle()                                    # what came before is judged without the filter
            sim.write(0, "tcp_flag_filter", 1)
        sim.push_frame(0, data, err)
        turn(150)
        if filtered:
            settle()
            sim.write(0, "tcp_flag_filter", 0)
    assert not trial.over(), "the transfer ended before the last of the frames"
    trial.finish()

    assert trial.failures() == []
    counters = sim.counters(0, names)
    idle = {name.removeprefix("splitter_") for name in {*names} - {name for name, *_ in hostile}}
    assert idle == {"frames", "payload_length", "scratchpad_full"}, (
        "a counter that no frame here asks for; the last two are no fault of a frame")
    expected = {name: sum(n == name for n, *_ in hostile)
                for name in names if name not in ("splitter_frames", "splitter_events")}
    assert {name: counters[name] for name in expected} == expected
    assert counters["splitter_frames"] == sum(raw.kind is FrameKind.IN for raw in trial.frames)
    assert counters["splitter_frames"] == counters["splitter_events"] + sum(expected.values())
    assert counters["splitter_events"] == sum(n == "splitter_events" for n, *_ in hostile) + sum(
        1 for raw in trial.frames if raw.kind is FrameKind.IN) - len(hostile)
    answers = [s for raw in trial.frames
               if raw.unit is not None and (s := parse_segment(raw.data)) and s.dst[1] == STRANGER_PORT]
    assert answers and all(s.flags & RST for s in answers), "an unknown port is refused with RST, or not answered"
    assert sim.read(0, "director_traps") == 0


def one_line(text):
    assert "Traceback" not in text and text.count("\n") == 1, text
    return text


@pytest.mark.usefixtures("privilege")
def test_netem_that_does_not_exist_or_understand_is_one_clear_line(tmp_path):
    done = subprocess.run([sys.executable, "-m", "spps", "demo", "--netem", "nonsense 7", "--out", tmp_path],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "netem nonsense 7" in one_line(done.stderr)


@pytest.mark.parametrize("values, says", [
    ({"data_width": 48}, "data_width=48"), ({"clusters": 0}, "clusters=0"), ({"cores": -1}, "cores=-1"),
    ({"imem_words": 1000}, "imem_words=1000"), ({"connections": 1 << 20}, "connections=1048576"),
])
def test_a_bad_parameter_names_value_and_limit(values, says):
    with pytest.raises(ValueError, match=says):
        SppsParams(**values)


def test_an_error_in_microcode_names_file_and_line(tmp_path):
    source = tmp_path / "wrong.uasm"
    source.write_text("start:\n        li r1, 1\n        frobnicate r1\n")
    with pytest.raises(AssemblerError):
        assemble(source)
    done = subprocess.run([sys.executable, "-m", "spps", "asm", str(source)], capture_output=True, text=True)
    assert done.returncode != 0 and "wrong.uasm:3" in one_line(done.stderr)
