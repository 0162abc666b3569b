"""cocotb bench of the message splitter against its model."""
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge
from spps.layouts.event import Event
from spps.layouts.packet import packet_layout
from spps.layouts.scratchpad import ScratchPage
from spps.splitter import MessageSplitter
from spps_sim.model.splitter import Splitter
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock

from tests.splitter.frames import MAC, VIPS, tcp_frame, traffic

WIDTH = int(os.environ["SPPS_P_WIDTH"])
COUNT = int(os.environ["SPPS_P_COUNT"])
SEED = int(os.environ["SPPS_SEED"])
SIZE = WIDTH // 8
FULL = 0.03         # probability that the scratchpad has no page


class Bench:
    """Frames in; a scratchpad that answers at random moments; events, frees and counters collected."""

    def __init__(self, dut, rng, idle, pause):
        self.dut, self.rng, self.idle = dut, rng, idle
        layout = packet_layout(WIDTH)
        self.i = StreamSource(dut, "i", dut.clk, layout=layout, idle=idle, rng=random.Random(rng.random()))
        self.page = StreamSource(dut, "i_page", dut.clk, layout=ScratchPage, idle=idle, rng=random.Random(rng.random()))
        self.event = StreamSink(dut, "o_event", dut.clk, layout=Event, pause=pause, rng=random.Random(rng.random()))
        self.free = StreamSink(dut, "o_free", dut.clk, pause=pause, rng=random.Random(rng.random()))
        self.payload = StreamSink(dut, "o_payload", dut.clk, layout=layout, pause=pause, rng=random.Random(rng.random()),
                                  callback=self._store)
        self.octets, self.next_ref = b"", 1
        self.stored, self.refused, self.pages_full = {}, 0, True

    def send(self, frame, port, err):
        for at in range(0, len(frame), SIZE):
            chunk = frame[at:at + SIZE]
            last = at + SIZE >= len(frame)
            self.i.send({"data": int.from_bytes(chunk.ljust(SIZE, b"\xa5"), "big"), "port": port, "last": last,
                         "empty": SIZE - len(chunk), "err": err and last})

    def _store(self, word):
        octets = word["data"].to_bytes(SIZE, "big")
        self.octets += octets[:SIZE - word["empty"]] if word["last"] else octets
        if word["last"]:
            ok = not word["err"] and not (self.pages_full and self.rng.random() < FULL)
            if ok:
                self.stored[self.next_ref] = self.octets
            self.refused += not ok
            self.page.send({"ref": self.next_ref if ok else 0, "length": len(self.octets) if ok else 0, "ok": ok})
            self.next_ref = self.next_ref % 65535 + 1
            self.octets = b""

    async def drain(self, frames):
        """Wait until every frame is judged; a hang fails."""
        edge = RisingEdge(self.dut.clk)
        quiet = 0
        while quiet < 400:
            before = self.count["frames"], len(self.event.received), self.i.sent
            await edge
            quiet = 0 if (self.count["frames"], len(self.event.received), self.i.sent) != before else quiet + 1
        assert self.i.empty() and self.page.empty() and not self.octets, "splitter hangs"
        assert self.count["frames"] == frames


def check(bench, model, expected):
    """Events in order with their payloads; no page lost; counters add up and are the model's."""
    full = bench.count["scratchpad_full"]
    for event in bench.event.received:
        while True:
            assert expected, f"event without a frame: {event}"
            wanted, payload = expected.popleft()
            got_payload = bench.stored.get(event["scratch_ref"]) if event["payload_len"] else b""
            if all(event[k] == wanted.get(k, 0) for k in event if k != "scratch_ref") and got_payload == payload:
                break
            assert payload and full, f"got {event}, expected {wanted}"
            full -= 1       # this frame found no page
        if payload:
            del bench.stored[event["scratch_ref"]]
    assert len(expected) == full
    for ref in bench.free.received:
        del bench.stored[ref]
    assert not bench.stored, "pages lost"
    frames = bench.count["frames"]
    assert frames == sum(bench.count.values()) - frames
    lost = bench.count.pop("scratchpad_full", 0)
    bench.count["events"] += lost
    assert +bench.count == +model.count


async def start(dut, idle, pause):
    rng = random.Random(SEED)
    start_clock(dut)
    dut.mac.value = MAC
    dut.vip.value = VIPS[0] | VIPS[1] << 32
    bench = Bench(dut, rng, idle, pause)
    await reset(dut)
    bench.count = CounterMonitor(dut, dut.clk, MessageSplitter.COUNTERS).total
    return bench, rng


async def run(dut, idle, pause, count):
    bench, rng = await start(dut, idle, pause)
    dut._log.info("seed %d", SEED)
    model = Splitter(MAC, VIPS)
    expected = deque()
    for frame, port, err in traffic(rng, count):
        bench.send(frame, port, err)
        event, payload = model.put(frame, port=port, err=err)
        if event:
            expected.append((event, payload))
    await bench.drain(count)
    dut._log.info("verdicts: %s", dict(model.count))
    missing = set(MessageSplitter.COUNTERS) - set(+bench.count) - {"payload_length"}
    assert count < 1000 or not missing, f"never hit: {missing}"
    check(bench, model, expected)


@cocotb.test()
async def splits_random_frames_at_full_speed(dut):
    await run(dut, 0.0, 0.0, COUNT)


@cocotb.test()
async def splits_random_frames_with_gaps(dut):
    await run(dut, 0.3, 0.0, COUNT // 10)


@cocotb.test()
async def splits_random_frames_with_backpressure(dut):
    await run(dut, 0.0, 0.4, COUNT // 10)


@cocotb.test()
async def splits_random_frames_with_gaps_and_backpressure(dut):
    await run(dut, 0.3, 0.4, COUNT // 10)


@cocotb.test()
async def wrong_scratchpad_count_drops_frame(dut):
    bench, rng = await start(dut, 0.0, 0.0)
    bench.pages_full = False
    send = bench.page.send
    bench.page.send = lambda answer: send({**answer, "length": answer["length"] + 1})
    for _ in range(5):
        bench.send(tcp_frame(rng, 100), 0, False)
    await bench.drain(5)
    assert bench.count["payload_length"] == 5 and not bench.event.received
    assert sorted(bench.free.received) == sorted(bench.stored)


@cocotb.test()
async def loses_ten_clocks_per_frame_at_most_on_average(dut):
    bench, rng = await start(dut, 0.0, 0.0)
    bench.pages_full = False
    frames = [tcp_frame(rng, 200) for _ in range(50)]
    for frame in frames:
        bench.send(frame, 0, False)
    words = sum(-(-len(frame) // SIZE) for frame in frames)
    clocks, edge = 0, RisingEdge(dut.clk)
    while not bench.i.empty():
        await edge
        clocks += 1
    dut._log.info("%d words in %d clocks", words, clocks)
    assert clocks <= words + 50 * 10
