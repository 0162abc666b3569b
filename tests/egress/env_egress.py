"""Memory that answers, drivers, monitors and model around the output processor; scapy judges what leaves."""
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from spps.egress import OutputProcessor
from spps.layouts.message import MessageHeader, MessageKind, beat_layout
from spps.layouts.neighbour import HopAnswer, HopQuery
from spps.layouts.output import OutputBody, OutputFlag
from spps.layouts.packet import packet_layout
from spps.layouts.socket import SocketRead
from spps_sim.model.egress import EgressModel, OrderError, Output
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector, packet_words
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
)
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ.get("SPPS_P_WIDTH", "64"))
#: counters that are a part of `frames`, or of no message
PARTS = ("payload_frames", "overtook", "fallback", "echoes", "echoes_suppressed", "announcements",
         "announcements_suppressed")
#: clocks that the neighbour table takes at most (tests/neighbour)
HOP_CLOCKS = 7
MAX_FRAME, PORTS = 1518, 3
MAC = 0x02005E5D5001
FLAGS = {"mss": OutputFlag.MSS, "wscale": OutputFlag.WSCALE, "sack_permitted": OutputFlag.SACK_PERMITTED,
         "timestamp": OutputFlag.TIMESTAMP, "sack": OutputFlag.SACK}


def hop(port, ip):
    """MAC address that the neighbour table knows of an address, or None."""
    rng = random.Random(f"{port}/{ip}")
    return rng.getrandbits(48) if rng.random() < 0.6 else None


def judge(frame, output, payload):
    """What an independent decoder makes of a frame must be what was asked for, checksums included."""
    ether = Ether(frame)
    assert len(frame) >= 60
    target = output.target_mac if output.arp or hop(output.port, output.remote_ip) is None else hop(
        output.port, output.remote_ip)
    assert int(ether.dst.replace(":", ""), 16) == target and int(ether.src.replace(":", ""), 16) == MAC
    if output.arp:
        arp = ether[ARP]
        target = ether.dst if output.tcp_flags == 2 else "00:00:00:00:00:00"
        assert (arp.op, arp.hwsrc, arp.hwdst) == (output.tcp_flags, ether.src, target)
        assert IP(src=arp.psrc, dst=arp.pdst).src == arp.psrc
        return
    ip, tcp = ether[IP], ether[TCP]
    end = 14 + ip.len
    assert not any(frame[end:]), "padding is not zero"
    assert end == len(frame) or len(frame) == 60
    again = Ether(frame[:end])
    del again[IP].chksum, again[TCP].chksum
    rebuilt = Ether(bytes(again))
    assert (rebuilt[IP].chksum, rebuilt[TCP].chksum) == (ip.chksum, tcp.chksum), "checksums differ from scapy's"
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack, tcp.window) == (
        output.local_port, output.remote_port, output.seq, output.ack, output.window)
    assert int(tcp.flags) & 0xFF == output.tcp_flags and ip.flags == "DF" and ip.frag == 0 and ip.ihl == 5
    options = {name: value for name, value in tcp.options if name != "NOP"}
    expected = {"mss": ("MSS", output.mss), "wscale": ("WScale", output.wscale), "sack_permitted": ("SAckOK", b""),
                "timestamp": ("Timestamp", (output.ts_val, output.ts_ecr)),
                "sack": ("SAck", (output.sack_left, output.sack_right, *sum(output.sack_more, ())))}
    assert options == dict(expected[name] for name in output.options)
    assert frame[54 + 4 * (tcp.dataofs - 5):end] == payload


class Env:
    """Sends OUTPUT messages, answers reads, and shows each frame to the model and to scapy."""

    def __init__(self, dut, seed, idle, pause):
        self.dut, self.rng = dut, random.Random(seed)

        def rng():
            return random.Random(self.rng.random())

        dut.mac.value, dut.ttl.value, dut.emit_enable.value = MAC, 64, 1
        self.cmd = StreamSource(dut, "i_cmd", dut.clk, layout=beat_layout(), idle=idle, rng=rng())
        self.data = StreamSource(dut, "i_data", dut.clk, idle=idle, rng=rng())
        self.echo_words = StreamSource(dut, "i_echo", dut.clk, layout=packet_layout(WIDTH), idle=idle, rng=rng())
        self.echoes = deque()       # (port, frame) of echo replies that have not left
        self.echoes_left = 0
        self.announce_words = StreamSource(dut, "i_announce", dut.clk, layout=packet_layout(WIDTH))
        self.announced = deque()    # (port, frame) of announcements that have not left
        self.order = []             # "announcement", "echo" or "output" of each frame that left
        self.read = StreamSink(dut, "o_read", dut.clk, layout=SocketRead, pause=pause, rng=rng(), callback=self.answer)
        self.hops = StreamSource(dut, "i_hop", dut.clk, layout=HopAnswer)
        self.hop_sink = StreamSink(dut, "o_hop", dut.clk, layout=HopQuery, callback=self.resolve)
        self.slow_hops = idle > 0       # the neighbour table takes any time
        self.collector = PacketCollector(WIDTH, self.frame)
        self.out = StreamSink(dut, "o", dut.clk, layout=packet_layout(WIDTH), pause=pause, rng=rng(),
                              callback=self.word)
        self.counters = CounterMonitor(dut, dut.clk, OutputProcessor.COUNTERS)
        self.model = EgressModel(PORTS, MAX_FRAME, MAC, hop=hop)
        self.reads = deque()        # (address, length, answer, err) in order
        self.late = None            # answers that memory has not given yet, while it is silent
        self.outputs = deque()      # (beats of messages until its last, output, payload): have not come
        self.answers = deque()      # words of answers until the last of one that was not handed over
        self.beats = self.words = 0
        self.suppression = False    # frames may be missing
        self.order_errors = None    # a list collects them
        self.seen = []              # outputs whose frames left
        self.payload_frames = self.left = self.messages = 0

    def answer(self, request):
        address, length, answer, err = self.reads.popleft()
        assert (request["address"], request["length"]) == (address, length)
        words = packet_words(answer, WIDTH, err=err, fill=self.rng.randrange(256))
        if self.late is None:
            self.give(words)
        else:
            self.late.append(words)

    def resolve(self, query):
        """Answer where a segment goes, as late as the neighbour table does."""
        mac = hop(query["iface"], query["ip"])
        answer = {"mac": mac or self.rng.getrandbits(48), "found": int(mac is not None)}
        clocks = self.rng.randrange(1, 60) if self.slow_hops else HOP_CLOCKS - 2

        async def later():
            await ClockCycles(self.dut.clk, clocks)
            self.hops.send(answer)
        cocotb.start_soon(later())

    def give(self, words):
        self.words += len(words)
        self.answers.append(self.words)
        for word in words:
            self.data.send(word)

    def speak(self):
        """Memory that was silent gives its answer and those to come."""
        late, self.late = self.late, None
        for words in late:
            self.give(words)

    def word(self, word):
        assert not word["err"]
        self.collector(word)

    def catch_up(self):
        """Tell the model what came in until now."""
        while self.outputs and self.outputs[0][0] <= self.cmd.sent:
            _, output, payload = self.outputs.popleft()
            self.model.came(output, payload)
        while self.answers and self.answers[0] <= self.data.sent:
            self.answers.popleft()
            self.model.answered()

    def echo(self):
        """An echo reply: for this block any frame that is no output's."""
        frame = self.rng.randbytes(12) + b"\x08\0" + self.rng.randbytes(9) + b"\x01" + self.rng.randbytes(
            self.rng.randrange(36, 600))
        port = self.rng.randrange(PORTS)
        self.echoes.append((port, frame))
        for word in packet_words(frame, WIDTH, port=port):
            self.echo_words.send(word)

    def announce(self):
        """Gratuitous ARP: for this block any frame to all stations."""
        frame = b"\xff" * 6 + self.rng.randbytes(6) + b"\x08\x06" + self.rng.randbytes(46)
        port = self.rng.randrange(PORTS)
        self.announced.append((port, frame))
        for word in packet_words(frame, WIDTH, port=port):
            self.announce_words.send(word)

    def frame(self, port, frame, err):
        if frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x06" and (port, frame) in self.announced:
            while self.suppression and self.announced[0] != (port, frame):
                self.announced.popleft()
            assert self.announced.popleft() == (port, frame), "announcements change their order"
            self.order.append("announcement")
            return
        self.order.append("output")
        if frame[12:14] == b"\x08\0" and frame[23] == 1:
            self.order[-1] = "echo"
            while self.suppression and self.echoes[0] != (port, frame):
                self.echoes.popleft()
            assert self.echoes.popleft() == (port, frame), "another echo reply, or not the whole one"
            self.echoes_left += 1
            return
        self.catch_up()
        self.left += 1
        try:
            this = self.model.leaves(port, frame, self.suppression)
        except OrderError as error:
            if self.order_errors is None:
                raise
            self.order_errors.append(error)
            return
        judge(frame, this.output, this.payload)
        self.seen.append(this.output)
        self.payload_frames += bool(this.payload)

    def send_beats(self, beats):
        self.messages += 1
        self.beats += len(beats)
        for i, beat in enumerate(beats):
            self.cmd.send({"data": beat, "last": int(i == len(beats) - 1)})

    def output(self, output, fault=None, payload=None):
        """Send one OUTPUT; fault: how memory answers ("err", "short", "long"), or None; payload: random by default."""
        rng = self.rng
        ring = {"conn": rng.getrandbits(16), "direction": rng.getrandbits(1), "pool": rng.getrandbits(2)}
        address = {"offset": output.seq, "ring": ring}
        flags = sum(FLAGS[name].value for name in output.options) | rng.getrandbits(1)      # OutputFlag.GATED
        if output.arp:
            flags |= OutputFlag.ARP.value
        body = pack(OutputBody, {
            "mac_hi": output.target_mac >> 32, "mac_lo": output.target_mac & 0xFFFFFFFF, "iface": output.port,
            "spare_0": rng.getrandbits(8), "spare_5": rng.getrandbits(32), "spare_10": rng.getrandbits(32),
            "ring": ring,
            **{name: getattr(output, name) for name in (
                "local_ip", "remote_ip", "local_port", "remote_port", "seq", "ack", "window", "tcp_flags", "wscale",
                "length", "mss", "ts_val", "ts_ecr", "sack_left", "sack_right")}})
        more = [left | right << 32 for left, right in output.sack_more]
        header = pack(MessageHeader, {"kind": MessageKind.OUTPUT.value, "length": 8 + len(more),
                                      "argument": rng.getrandbits(16) << 16 | flags | rng.getrandbits(9) << 7})
        self.send_beats([header] + [body >> 64 * i & (1 << 64) - 1 for i in range(8)] + more)
        if payload is None:
            payload = rng.randbytes(output.length) if not output.arp else b""
        if self.model.wants_payload(output):
            answer = payload
            if fault == "short" and output.length > 1:
                answer = payload[:rng.randrange(1, output.length)]
            elif fault == "long":
                answer = payload + rng.randbytes(rng.choice((1, 7, 3000)))
            place = pack(SocketRead, {"address": address}) & (1 << 64) - 1
            self.reads.append((place, output.length, answer, fault == "err"))
            if fault == "err" or answer != payload:
                payload = None
        self.outputs.append((self.beats, output, payload))
        return output

    def random_output(self, **fixed):
        rng = self.rng
        edge = rng.random() < 0.1     # all ones or all zeros: carries
        values = {name: rng.choice((0, (1 << bits) - 1)) if edge else rng.getrandbits(bits) for name, bits in (
            ("target_mac", 48), ("local_ip", 32), ("remote_ip", 32), ("local_port", 16), ("remote_port", 16),
            ("seq", 32), ("ack", 32), ("window", 16), ("tcp_flags", 8), ("mss", 16),
            ("wscale", 8), ("ts_val", 32), ("ts_ecr", 32),
            ("sack_left", 32), ("sack_right", 32))}
        values["target_mac"] = values["target_mac"] or 1
        values["port"] = rng.randrange(PORTS)
        options = frozenset(name for name in FLAGS if rng.random() < rng.choice((0.1, 0.5, 0.9)))
        if "sack" in options:
            room = (40 - 12 - sum({"timestamp": 12}.get(name, 4) for name in options - {"sack"})) // 8
            values["sack_more"] = tuple((rng.choice((0, 0xFFFFFFFF, rng.getrandbits(32))), rng.getrandbits(32))
                                        for _ in range(rng.randrange(min(room, 3) + 1)))
        length = rng.choice((0, 0, rng.randrange(1, 12), rng.randrange(1, 200), rng.randrange(1, 1429), 1428, 1460))
        values.update(options=options, length=length, arp=rng.random() < 0.06)
        values.update(fixed)
        if "sack" not in values["options"]:
            values["sack_more"] = ()
        if values["arp"]:
            values["tcp_flags"] = rng.randrange(1, 3)
        return Output(**values)

    def random_control(self, connection, **fixed):
        return self.random_output(**connection, arp=False, length=0, **fixed)

    def random_connections(self, number):
        """Identities that differ in one of their five parts only, the first two in ports only."""
        base = {"local_ip": 0x0A000001, "remote_ip": 0x0A000002, "local_port": 80, "remote_port": 40000, "port": 0}
        changes = ({}, {"remote_port": 40001}, {"local_port": 81}, {"remote_ip": 0x8A000002}, {"local_ip": 0x0A000000},
                   {"port": 1})
        return [base | changes[i] for i in range(number)]

    async def drain(self, limit=60000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            done = sum(self.counters.total[name] for name in self.counters.total if name not in PARTS)
            if (self.cmd.empty() and self.data.empty() and not self.reads and done == self.messages
                    and self.echo_words.empty() and self.announce_words.empty()):
                break
        await ClockCycles(self.dut.clk, 1500)     # the last frame leaves
        self.catch_up()
        total = self.counters.total
        assert not self.reads and not self.collector.data and self.data.empty()
        for name in ("malformed", "bad_port", "too_long", "read_error", "unresolved"):
            assert total[name] == self.model.count[name], f"{name}: {dict(total)} instead of {dict(self.model.count)}"
        assert total["frames"] == self.left and total["payload_frames"] == self.payload_frames
        assert self.messages == sum(total[name] for name in total if name not in PARTS)
        assert total["echoes"] == self.echoes_left
        assert total["announcements"] == self.order.count("announcement")
        if not self.suppression:
            assert not self.echoes and not total["echoes_suppressed"]
            assert not self.announced and not total["announcements_suppressed"]
            assert total["fallback"] == self.model.count["fallback"]
            missing = [w.output for w in self.model.waiting if not w.fails]
            assert not missing and not total["suppressed"], missing
            least = self.model.count["overtook"]
            most = least + self.model.count["overtook_failing"]
            assert least <= total["overtook"] <= most, (dict(total), dict(self.model.count))
        self.dut._log.info("seed %d: %d messages, %s", default_seed(), self.messages, dict(total))


async def start(dut, seed, idle=0.0, pause=0.0):
    start_clock(dut)
    tb = Env(dut, seed, idle, pause)
    await reset(dut)
    return tb


def random_messages(tb, number):
    rng = tb.rng
    for _ in range(number):
        choice = rng.random()
        if choice < 0.06:
            tb.output(tb.random_output(target_mac=0, arp=False), rng.choice((None,) * 12 + ("err",)))
        elif choice < 0.86:
            tb.output(tb.random_output(), rng.choice((None,) * 12 + ("err", "short", "long")))
        elif choice < 0.89:
            tb.output(tb.random_output(length=rng.choice((1465, 1500, 9000, 16384, 65535)), arp=False))
        elif choice < 0.92:
            tb.output(tb.random_output(port=rng.choice((PORTS, 255))))
        else:
            beats, said, sack = rng.choice((
                (0, 8, 0), (1, 8, 0), (7, 8, 0), (9, 8, 0), (20, 8, 0), (7, 7, 0), (12, 12, 1), (9, 9, 0), (8, 9, 1),
                (10, 9, 1), (11, 10, 1), (8, 0, 0), (20, 20, 1)))
            tb.model.bad_message()
            argument = rng.getrandbits(7) & ~OutputFlag.SACK.value | sack * OutputFlag.SACK.value
            header = {"kind": MessageKind.OUTPUT.value, "length": said, "argument": argument}
            tb.send_beats([pack(MessageHeader, header)]
                          + [rng.getrandbits(64) for _ in range(beats)])


def controls(tb, connections, number):
    """Pure ACKs and RSTs of some connections, and ARP replies."""
    for _ in range(number):
        if tb.rng.random() < 0.1:
            tb.output(tb.random_output(arp=True, length=0))
        else:
            tb.output(tb.random_control(tb.rng.choice(connections)))


async def settle(tb, clocks=1500):
    await ClockCycles(tb.dut.clk, clocks)
    tb.catch_up()
