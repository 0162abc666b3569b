"""cocotb bench of the message splitter against its model."""
import os

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from spps.splitter import MessageSplitter
from tests.splitter.env_splitter import SIZE, WIDTH, Env
from tests.splitter.frames import arp_frame, fix_ip, tcp_frame, traffic

COUNT = int(os.environ["SPPS_P_COUNT"])


async def run(dut, idle, pause, count):
    env = await Env.start(dut, idle, pause)
    for frame in traffic(env.rng, count):
        env.send(*frame)
    await env.drain()
    dut._log.info("verdicts: %s", dict(env.model.count))
    missing = set(MessageSplitter.COUNTERS) - set(+env.count) - {"payload_length"}
    assert count < 1000 or not missing, f"never hit: {missing}"
    env.check()


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
async def names_the_protocol_of_an_event(dut):
    env = await Env.start(dut, full=0.0)
    env.send(tcp_frame(env.rng, 10))
    env.send(arp_frame(env.rng))
    await env.drain()
    env.check()
    assert [event["protocol"] for event in env.event.received] == [6, 0]


@cocotb.test()
async def stores_no_payload_of_a_frame_that_fails_an_early_check(dut):
    env = await Env.start(dut, full=0.0)
    good = b""
    while not good or good[14] != 0x45:         # without IP options
        good = tcp_frame(env.rng, 100)
    bad = {                                     # position, octet, is the IP checksum made right
        "not_for_us": (0, 0x04, True), "ip_version": (14, 0x55, True), "ip_header_length": (14, 0x44, False),
        "ip_checksum": (24, good[24] ^ 1, False), "ip_fragment": (20, 0x20, True), "icmp": (23, 1, True),
        "udp": (23, 17, True), "unknown_protocol": (23, 47, True), "tcp_offset": (46, 0x40, True),
    }
    for at, octet, right in bad.values():
        frame = bytearray(good)
        frame[at] = octet
        if right:
            fix_ip(frame)
        env.send(bytes(frame))
    await env.drain()
    env.check()
    assert +env.count == {"frames": len(bad), **dict.fromkeys(bad, 1)}
    assert not env.stored and not env.refused and not env.free.received, "payload went to the scratchpad"


@cocotb.test()
async def wrong_scratchpad_count_drops_frame(dut):
    env = await Env.start(dut, full=0.0)
    send = env.page.send
    env.page.send = lambda answer: send({**answer, "length": answer["length"] + 1})
    for _ in range(5):
        env.send(tcp_frame(env.rng, 100))
    await env.drain()
    assert env.count["payload_length"] == 5 and not env.event.received
    assert sorted(env.free.received) == sorted(env.stored) and len(env.stored) == 5


@cocotb.test()
async def loses_ten_clocks_per_frame_at_most_on_average(dut):
    env = await Env.start(dut, full=0.0)
    frames = [tcp_frame(env.rng, 200) for _ in range(50)]
    for frame in frames:
        env.send(frame)
    words = sum(-(-len(frame) // SIZE) for frame in frames)
    clocks, edge = 0, RisingEdge(dut.clk)
    while not env.i.empty():
        await edge
        clocks += 1
    dut._log.info("%d words in %d clocks", words, clocks)
    assert clocks <= words + 50 * 10
    await env.drain()
    env.check()


@cocotb.test()
async def offers_an_event_10_to_17_clocks_after_its_frame_and_one_later_per_option_byte(dut):
    env = await Env.start(dut, full=0.0)
    delays = []
    for _ in range(60):
        frame = arp_frame(env.rng) if env.rng.random() < 0.2 else tcp_frame(env.rng)
        env.send(frame)
        events, last, clock = len(env.event.received), 0, 0
        while len(env.event.received) == events:
            await RisingEdge(dut.clk)
            await ReadOnly()
            clock += 1
            assert clock < 2000, "no event"
            if int(dut.i__valid.value):
                last = clock
            if int(dut.o_event__valid.value):
                came = clock
        options = (frame[14 + (frame[14] & 15) * 4 + 12] >> 4) * 4 - 20 if frame[12:14] == b"\x08\0" else 0
        delays.append((came - last, options))
    dut._log.info("delays by option bytes: %s", sorted(set(delays)))
    most = 17 if WIDTH == 128 else 16
    assert all(10 <= delay <= most + options for delay, options in delays)
    env.check()
