"""cocotb bench of the message splitter against its model."""
import os
from collections import Counter

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from spps.splitter import MessageSplitter
from tests.splitter.env_splitter import SIZE, WIDTH, Env
from tests.splitter.frames import (
    NOT_OURS,
    VIPS,
    VLANS,
    arp_frame,
    fix_ip,
    fix_tcp,
    icmp_frame,
    icmp_message,
    number,
    tag,
    tcp_frame,
    traffic,
    unreachable,
)

FIN, SYN, RST, PSH, URG = 1, 2, 4, 8, 32
COUNT = int(os.environ["SPPS_P_COUNT"])


async def run(dut, idle, pause, count, tcp_flag_filter=False):
    env = await Env.start(dut, idle, pause, tcp_flag_filter=tcp_flag_filter)
    for frame in traffic(env.rng, count):
        env.send(*frame)
    await env.drain()
    dut._log.info("verdicts: %s", dict(env.model.count))
    never = {"payload_length"} if tcp_flag_filter else {"payload_length", "tcp_flags"}
    missing = set(MessageSplitter.COUNTERS) - set(+env.count) - never
    assert count < 1000 or not missing, f"never hit: {missing}"
    env.check()


@cocotb.test()
async def splits_random_frames_at_full_speed(dut):
    await run(dut, 0.0, 0.0, COUNT)


@cocotb.test()
async def splits_random_frames_with_gaps(dut):
    await run(dut, 0.3, 0.0, COUNT // 10, tcp_flag_filter=True)


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
    env.send(icmp_frame(unreachable(env.rng)))          # of the segment that it quotes
    await env.drain()
    env.check()
    assert [event["protocol"] for event in env.event.received] == [6, 0, 6]


@cocotb.test()
async def stores_no_payload_of_a_frame_that_fails_an_early_check(dut):
    env = await Env.start(dut, full=0.0)
    good = b""
    while not good or good[14] != 0x45:         # without IP options
        good = tcp_frame(env.rng, 100)
    bad = {                                     # position, octet, is the IP checksum made right
        "not_for_us": (0, 0x04, True), "not_our_address": (33, good[33] ^ 1, True),
        "ip_version": (14, 0x55, True), "ip_header_length": (14, 0x44, False),
        "ip_checksum": (24, good[24] ^ 1, False), "ip_fragment": (20, 0x20, True), "icmp_checksum": (23, 1, True),
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
async def takes_tcp_flags_as_they_come_unless_the_filter_is_set(dut):
    for filtered in (False, True):
        env = await Env.start(dut, full=0.0, tcp_flag_filter=filtered)
        good = tcp_frame(env.rng, 20)
        flags = 14 + (good[14] & 15) * 4 + 13
        for octet in (0, FIN, FIN | PSH | URG, SYN | FIN, SYN | RST, 0xFF):
            frame = bytearray(good)
            frame[flags] = octet
            fix_tcp(frame)
            env.send(bytes(frame))
        await env.drain()
        env.check()
        assert +env.count == {"frames": 6, "tcp_flags" if filtered else "events": 6}


@cocotb.test()
async def reads_the_segment_that_an_icmp_message_quotes(dut):
    env = await Env.start(dut, full=0.0)
    body = number("10.1.2.3").to_bytes(4, "big") + bytes.fromhex("c001 0050 89abcdef")
    ours = VIPS[1].to_bytes(4, "big")
    quoted = bytes.fromhex("4500 05dc 1234 4000 4006 0000") + ours + body
    for code, mtu, more in ((4, 1280, b""), (4, 0, b"x" * 100), (3, 0xFFFF, b"odd")):
        for options in (b"", b"\x01" * 40):
            message = icmp_message(3, code, mtu.to_bytes(4, "big"), quoted + more)
            env.send(icmp_frame(message, 1, options=options), port=1)
    await env.drain()
    env.check()
    events = list(env.event.received)
    assert len(events) == 6
    assert {key: [event[key] for event in events[::2]] for key in ("subtype", "mss")} == {
        "subtype": [4, 4, 3], "mss": [1280, 0, 0xFFFF]}
    for event in events:
        assert (event["kind"], event["protocol"], event["iface"], event["window"]) == (3, 6, 1, 1500)
        assert (event["src_ip"], event["dst_ip"]) == (number("10.1.2.3"), VIPS[1])
        assert (event["src_port"], event["dst_port"], event["seq"]) == (80, 0xC001, 0x89ABCDEF)
        assert not any(event[key] for key in ("tcp_flags", "ack", "payload_len", "options", "plain", "filled"))


@cocotb.test()
async def counts_hostile_icmp_by_what_is_wrong_with_it(dut):
    env = await Env.start(dut, full=0.0)
    rng = env.rng
    echo, about = icmp_message(8, rest=b"abcd", body=b"hello"), unreachable(rng)
    frames = {
        "icmp_length": [icmp_frame(echo[:n]) for n in range(8)],
        "icmp_checksum": [icmp_frame(echo[:-1] + b"x"), icmp_frame(about[:-1] + bytes([about[-1] ^ 1])),
                          icmp_frame(icmp_message(8, wrong=256)), icmp_frame(echo[:8])],
        "icmp_quote_short": [icmp_frame(unreachable(rng, size=n)) for n in range(-20, 8)],
        "icmp_quote": [icmp_frame(unreachable(rng, size=40, **ip)) for ip in (
            {"proto": 17}, {"proto": 1}, {"frag": 1}, {"frag": 8191}, {"flags": "MF"}, {"version": 6}, {"version": 0},
            *({"ihl": n} for n in (0, 1, 4, 6, 15)))],
        "icmp_reply": [icmp_frame(icmp_message(0, body=b"hello"))],
        "icmp_type": [icmp_frame(icmp_message(n)) for n in range(1, 256) if n not in (3, 8)]
        + [icmp_frame(icmp_message(8, code)) for code in (1, 255)],
        "ip_fragment": [icmp_frame(echo, flags="MF"), icmp_frame(about, frag=2)],
        "ip_length": [icmp_frame(about, len=1400)],
        "not_for_us": [b"\xff" * 6 + icmp_frame(echo)[6:], b"\x01\0\x5e\0\0\x01" + icmp_frame(echo)[6:]],
        "own_address": [icmp_frame(message, src=source) for message in (echo, about)
                        for source in ("192.168.0.254", "172.16.0.1")],
        "not_our_address": [icmp_frame(echo, dst=to) for to in NOT_OURS],
        "icmp_echo": [icmp_frame(icmp_message(8, body=bytes(n))) for n in (0, 1, 17, 1472)] + [icmp_frame(echo)],
        "events": [icmp_frame(unreachable(rng, size=n)) for n in (8, 9, 12, 548, 1400)],
    }
    sent = [frame for group in frames.values() for frame in group]
    rng.shuffle(sent)
    for frame in sent:
        env.send(frame)
    await env.drain()
    env.check()
    assert +env.count == {"frames": len(sent), **{name: len(group) for name, group in frames.items()}}
    assert not env.stored, "a payload went to the scratchpad"


@cocotb.test()
async def takes_datagrams_to_our_address_on_their_network_only(dut):
    env = await Env.start(dut, full=0.0)
    destinations = *VIPS, *(vip ^ 1 << bit for vip in VIPS for bit in range(32)), *map(number, NOT_OURS)
    expected = Counter()
    for port in range(3):
        for destination in destinations:
            frame = bytearray(tcp_frame(env.rng, 1))
            frame[30:34] = destination.to_bytes(4, "big")
            fix_ip(frame)
            fix_tcp(frame)
            env.send(bytes(frame), port=port)
            host = 0 < destination >> 24 < 224 and destination >> 24 != 127
            ours = port < 2 and destination == VIPS[port]
            expected["events" if ours else "not_our_address" if host else "destination_address"] += 1
    await env.drain()
    env.check()
    assert expected["events"] == 2 and +env.count == {"frames": 3 * len(destinations), **expected}
    assert len(env.stored) == 2, "payload of other hosts went to the scratchpad"


@cocotb.test()
async def no_address_is_ours_while_none_is_configured(dut):
    env = await Env.start(dut, full=0.0)
    dut.vip.value = VIPS[1] << 32
    env.model.vips = 0, VIPS[1]
    for destination, port in ((VIPS[0], 0), (0, 0), (VIPS[1], 1)):
        frame = bytearray(tcp_frame(env.rng, 1))
        frame[30:34] = destination.to_bytes(4, "big")
        fix_ip(frame)
        fix_tcp(frame)
        env.send(bytes(frame), port=port)
    await env.drain()
    env.check()
    assert +env.count == {"frames": 3, "not_our_address": 1, "destination_address": 1, "events": 1}


@cocotb.test()
async def a_vlan_tag_names_the_network(dut):
    env = await Env.start(dut, full=0.0)
    expected = []
    for size in range(1, 40):                   # every place of the last byte in its word
        for vlan, port, network in ((0, 0, 0), (0, 1, 1), (VLANS[0], 0, 0), (VLANS[0], 2, 0), (VLANS[1], 0, 1)):
            env.send(tag(tcp_frame(env.rng, size, network), vlan, env.rng.randrange(16)), port=port)
            expected.append((network, size))
    await env.drain()
    env.check()
    assert [(event["iface"], event["payload_len"]) for event in env.event.received] == expected


@cocotb.test()
async def an_unknown_vlan_tag_is_counted_and_nothing_else_of_the_frame(dut):
    env = await Env.start(dut, full=0.0)
    unknown = [vlan ^ 1 << bit for vlan in VLANS[:2] for bit in range(12)] + [1, 4095]
    for vlan in unknown:
        env.send(tag(tcp_frame(env.rng, 30), vlan))
    env.send(tag(arp_frame(env.rng), 5))
    env.send(tag(tag(tcp_frame(env.rng, 30), 0), VLANS[0]))                 # a tag behind a tag
    env.send(tag(tcp_frame(env.rng, 30), VLANS[0], kind=0x88A8))            # a service tag
    env.send(tcp_frame(env.rng, 30))
    await env.drain()
    env.check()
    assert +env.count == {
        "frames": len(unknown) + 4, "unknown_vlan": len(unknown) + 1, "unknown_ethertype": 2, "events": 1}
    assert len(env.stored) == 1 and not env.free.received


@cocotb.test()
async def a_frame_cut_in_or_behind_its_tag_is_a_runt(dut):
    env = await Env.start(dut, full=0.0)
    frame = tag(tcp_frame(env.rng, 30), VLANS[0])
    for size in range(1, 14 + 4 + 20):
        env.send(frame[:size])
        env.send(frame)
    await env.drain()
    env.check()
    assert +env.count == {"frames": 74, "runt": 37, "events": 37}


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
async def loses_twelve_clocks_per_frame_at_most_on_average(dut):
    env = await Env.start(dut, full=0.0)
    frames = [tcp_frame(env.rng, 200) for _ in range(400)]
    for frame in frames:
        env.send(frame)
    words = sum(-(-len(frame) // SIZE) for frame in frames)
    clocks, edge = 0, RisingEdge(dut.clk)
    while not env.i.empty():
        await edge
        clocks += 1
    dut._log.info("%d words in %d clocks", words, clocks)
    assert clocks <= words + 12 * len(frames)
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
            assert clock < 2000, f"no event: {frame.hex()} {+env.count}"
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
