"""Messages in, frames out; scapy makes requests and judges replies."""
import os
import random
import struct
from collections import deque

from cocotb.triggers import ClockCycles, RisingEdge
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from spps.echo import EchoResponder
from spps.layouts.echo import EchoRequest, message_word
from spps.layouts.packet import packet_layout
from spps.params import TINY
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector
from spps_sim.testbench.bus.stream import StreamSink, pack, reset, start_clock
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SIZE = WIDTH // 8
LARGEST = TINY.max_frame - 34                   # bytes of a message
MAC, TTL = 0x02005E5D5001, 61


class Env:
    """Around the responder. `replies`: (port, frame) as they leave; `expected`: of the requests it should answer."""

    def __init__(self, dut, pause=0.0, limit=255):
        self.dut, self.rng = dut, random.Random(default_seed())
        dut.mac.value, dut.ttl.value, dut.limit.value, dut.now.value, dut.active.value = MAC, TTL, limit, 0, 1
        dut.i_message__valid.value = dut.i_request__valid.value = 0
        self.replies, self.expected, self.ticks = [], deque(), 0
        self.out = StreamSink(dut, "o", dut.clk, layout=packet_layout(WIDTH), pause=pause,
                              rng=random.Random(self.rng.random()), callback=PacketCollector(WIDTH, self._left))

    @classmethod
    async def start(cls, dut, **options):
        """An Env around a block out of reset, with a tick begun."""
        start_clock(dut)
        env = cls(dut, **options)
        await reset(dut)
        env.count = CounterMonitor(dut, dut.clk, EchoResponder.COUNTERS).total
        await env.tick()
        return env

    def _left(self, port, frame, err):
        assert not err
        self.replies.append((port, frame))

    async def tick(self):
        """The next tick begins."""
        self.ticks += 1
        self.dut.now.value = self.ticks
        await ClockCycles(self.dut.clk, 2)

    async def message(self, octets):
        """A message passes, with gaps."""
        for start in range(0, len(octets), SIZE):
            while self.rng.random() < 0.2:
                await RisingEdge(self.dut.clk)
            word = int.from_bytes(octets[start:start + SIZE].ljust(SIZE, b"\0"), "big")
            self.dut.i_message__payload.value = pack(message_word(WIDTH), {"data": word, "first": start == 0})
            self.dut.i_message__valid.value = 1
            await RisingEdge(self.dut.clk)
            self.dut.i_message__valid.value = 0

    async def ask(self, data=b"", *, identifier=None, sequence=None, answered=True):
        """An echo request passes. answered: it should be."""
        rng = self.rng
        identifier = rng.getrandbits(16) if identifier is None else identifier
        sequence = rng.getrandbits(16) if sequence is None else sequence
        octets = bytes(ICMP(type=8, id=identifier, seq=sequence) / Raw(data))
        source, target = rng.getrandbits(32), rng.getrandbits(32)
        mac, port = rng.getrandbits(48), rng.randrange(3)
        await self.message(octets)
        await ClockCycles(self.dut.clk, rng.randrange(1, 8))
        addresses = struct.pack(">II", source, target)
        self.dut.i_request__payload.value = pack(EchoRequest, {
            "mac": mac, "remote_ip": source, "local_ip": target, "iface": port, "length": len(octets),
            "address_sum": sum(struct.unpack(">4H", addresses))})
        self.dut.i_request__valid.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.i_request__valid.value = 0
        if answered:
            self.expected.append((port, mac, source, target, identifier, sequence, data))

    async def drain(self):
        """Wait until the last reply has left, and judge them all."""
        for _ in range(20_000):
            await RisingEdge(self.dut.clk)
            if len(self.replies) == len(self.expected):
                break
        await ClockCycles(self.dut.clk, 50)
        assert len(self.replies) == len(self.expected) == self.count["answered"]
        for (port, frame), request in zip(self.replies, self.expected):
            self.judge(port, frame, *request)

    @staticmethod
    def judge(port, frame, wanted_port, mac, source, target, identifier, sequence, data):
        """What scapy makes of a reply is what RFC 792 wants."""
        ether = Ether(frame)
        ip, icmp = ether[IP], ether[ICMP]
        end = 14 + ip.len
        assert (port, int(ether.dst.replace(":", ""), 16), int(ether.src.replace(":", ""), 16)) == (
            wanted_port, mac, MAC)
        numbers = [int.from_bytes(bytes(map(int, text.split("."))), "big") for text in (ip.src, ip.dst)]
        assert numbers == [target, source] and (ip.ttl, ip.proto, ip.flags, ip.ihl) == (TTL, 1, "DF", 5)
        assert (icmp.type, icmp.code, icmp.id, icmp.seq) == (0, 0, identifier, sequence)
        assert frame[42:end] == data and len(frame) == max(60, 42 + len(data)) and not any(frame[end:])
        again = Ether(frame[:end])
        del again[IP].chksum, again[ICMP].chksum
        rebuilt = Ether(bytes(again))
        assert rebuilt[IP].chksum == ip.chksum
        assert rebuilt[ICMP].chksum % 0xFFFF == icmp.chksum % 0xFFFF       # 0 and 0xFFFF are the same number (RFC 1624)
        message = frame[34:end] + bytes(end % 2)
        total = sum(struct.unpack(f">{len(message) // 2}H", message))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        assert total == 0xFFFF, "a receiver finds the checksum wrong"
