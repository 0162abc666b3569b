"""Frames, scratchpad and model around the message splitter."""
import os
import random
import struct
from collections import deque

from cocotb.triggers import RisingEdge

from spps.layouts.echo import EchoRequest, message_word
from spps.layouts.event import Event
from spps.layouts.packet import packet_layout
from spps.layouts.scratchpad import ScratchPage
from spps.splitter import MessageSplitter
from spps_sim.model.splitter import Splitter
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector, packet_words
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed
from tests.splitter.frames import MAC, VIPS, VLANS

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SIZE = WIDTH // 8
FULL = 0.03         # probability that the scratchpad has no page


class Env:
    """Frames in; a scratchpad that answers at random moments; events, echo requests, frees and counters collected.

    idle, pause: probability of a gap before a transfer at inputs and outputs.
    full: probability that a payload finds no page. tcp_flag_filter: the register.
    stored: reference -> payload; refused: payloads that were not kept; expected: (event, payload) of the model.
    """

    def __init__(self, dut, idle=0.0, pause=0.0, full=FULL, tcp_flag_filter=False):
        self.dut, self.full, self.rng = dut, full, random.Random(default_seed())

        def rng():
            return random.Random(self.rng.random())

        layout = packet_layout(WIDTH)
        self.i = StreamSource(dut, "i", dut.clk, idle=idle, rng=rng())
        self.page = StreamSource(dut, "i_page", dut.clk, layout=ScratchPage, idle=idle, rng=rng())
        self.event = StreamSink(dut, "o_event", dut.clk, layout=Event, pause=pause, rng=rng())
        self.free = StreamSink(dut, "o_free", dut.clk, pause=pause, rng=rng())
        self.collector = PacketCollector(WIDTH, self._store)
        self.payload = StreamSink(dut, "o_payload", dut.clk, layout=layout, pause=pause, rng=rng(),
                                  callback=self.collector)
        self.words, self.echoes = [], []        # of the last message; (request, message) of echo requests
        self.messages = StreamSink(dut, "o_message", dut.clk, layout=message_word(WIDTH), callback=self._word)
        self.echo = StreamSink(dut, "o_echo", dut.clk, layout=EchoRequest, callback=self._asked)
        self.model, self.expected = Splitter(MAC, VIPS, VLANS, tcp_flag_filter), deque()
        self.stored, self.refused, self.next_ref, self.frames = {}, 0, 1, 0

    @classmethod
    async def start(cls, dut, idle=0.0, pause=0.0, **options):
        """An Env around a block out of reset."""
        start_clock(dut)
        dut.mac.value = MAC
        dut.vip.value = VIPS[0] | VIPS[1] << 32
        dut.vlan.value = sum(vlan << 12 * n for n, vlan in enumerate(VLANS))
        env = cls(dut, idle, pause, **options)
        dut.tcp_flag_filter.value = int(env.model.tcp_flag_filter)
        await reset(dut)
        env.count = CounterMonitor(dut, dut.clk, MessageSplitter.COUNTERS).total
        dut._log.info("seed %d", default_seed())
        return env

    def send(self, frame, port=0, err=False):
        """Queue one frame for the block and the model."""
        self.frames += 1
        for word in packet_words(frame, WIDTH, port=port, err=err, fill=0xA5):
            self.i.send(word)
        event, payload = self.model.put(frame, port=port, err=err)
        if event:
            self.expected.append((event, payload))

    def _store(self, port, octets, err):
        ok = not err and not self.rng.random() < self.full
        if ok:
            self.stored[self.next_ref] = octets
        self.refused += not ok
        self.page.send({"ref": self.next_ref if ok else 0, "length": len(octets) if ok else 0, "ok": ok})
        self.next_ref = self.next_ref % 65535 + 1

    def _word(self, word):
        if word["first"]:
            self.words.clear()
        self.words.append(word["data"])

    def _asked(self, request):
        octets = b"".join(word.to_bytes(SIZE, "big") for word in self.words)
        assert not any(octets[request["length"]:]) and len(octets) - request["length"] in range(SIZE)
        self.echoes.append((request, octets[:request["length"]]))

    async def drain(self):
        """Wait until every frame is judged; a hang fails."""
        edge = RisingEdge(self.dut.clk)
        quiet = 0
        while quiet < 400:
            before = self.count["frames"], len(self.event.received), self.i.sent
            await edge
            quiet = 0 if (self.count["frames"], len(self.event.received), self.i.sent) != before else quiet + 1
        assert self.i.empty() and self.page.empty() and not self.collector.data, "splitter hangs"
        assert self.count["frames"] == self.frames

    def check(self):
        """Events in order with their payloads; no page lost; counters add up and are the model's."""
        full = self.count["scratchpad_full"]
        assert full <= self.refused
        expected, stored = deque(self.expected), dict(self.stored)
        for event in self.event.received:
            while True:
                assert expected, f"event without a frame: {event}"
                wanted, payload = expected.popleft()
                got = stored.get(event["scratch_ref"]) if event["payload_len"] else b""
                if all(event[k] == wanted.get(k, 0) for k in event if k != "scratch_ref") and got == payload:
                    break
                assert payload and full, f"got {event}, expected {wanted}"
                full -= 1       # this frame found no page
            if payload:
                del stored[event["scratch_ref"]]
        assert len(expected) == full and all(payload for _, payload in expected)
        for ref in self.free.received:
            del stored[ref]
        assert not stored, "pages lost"
        assert len(self.echoes) == len(self.model.echo)
        for (request, message), (fields, wanted) in zip(self.echoes, self.model.echo):
            addresses = struct.pack(">II", fields["remote_ip"], fields["local_ip"])
            fields = fields | {"length": len(wanted), "address_sum": sum(struct.unpack(">4H", addresses))}
            assert (request, message) == (fields, wanted)
        frames = self.count["frames"]
        assert frames == sum(self.count.values()) - frames
        count = +self.count
        count["events"] += count.pop("scratchpad_full", 0)
        assert +count == +self.model.count
