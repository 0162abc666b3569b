"""The neighbour table beside its model, and its limits; see test_neighbour.py."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps_sim.model.neighbour import BROADCAST_MAC
from tests.neighbour.env_neighbour import (
    AGE,
    BROKEN,
    ENTRIES,
    HOLDOFF,
    INTERVAL,
    RETRIES,
    ROUND,
    VIPS,
    WAYS,
    place,
    start,
)

CLIENT, SERVER = 0, 1
HOST, OTHER, FAR, GATEWAY = 0x0A000002, 0x0A000003, 0x08080808, 0x0A0000FE
MAC, NEW_MAC = 0x020000000002, 0x02AABBCCDDEE


@cocotb.test()
async def asks_for_a_missing_address_and_uses_the_answer(dut):
    env = await start(dut)
    assert await env.frame(CLIENT, HOST) is None
    assert [r.target for r in env.requests] == [BROADCAST_MAC]
    await env.heard(CLIENT, HOST, MAC, create=0)        # we asked, so it need not be for us
    assert await env.frame(CLIENT, HOST) == MAC
    assert await env.frame(SERVER, HOST) is None        # networks are kept apart
    env.finish()


@cocotb.test()
async def requests_keep_their_interval_and_end(dut):
    """However many frames come: RFC 1122 §2.3.2.1."""
    env = await start(dut)
    asked = []
    for _ in range(RETRIES * INTERVAL + HOLDOFF + 2):
        assert await env.frame(CLIENT, HOST) is None
        asked += [env.now] * (len(env.requests) - len(asked))
        await env.pass_time()
        asked += [env.now] * (len(env.requests) - len(asked))
    assert [b - a for a, b in zip(asked, asked[1:])] == [INTERVAL] * (RETRIES - 1) + [INTERVAL + HOLDOFF]
    await env.heard(CLIENT, HOST, MAC)
    assert await env.frame(CLIENT, HOST) == MAC
    env.finish()


@cocotb.test()
async def a_changed_mac_is_followed_by_the_next_frame(dut):
    env = await start(dut)
    await env.heard(CLIENT, HOST, MAC)
    assert await env.frame(CLIENT, HOST) == MAC
    await env.heard(CLIENT, HOST, NEW_MAC, create=0)    # gratuitous
    assert await env.frame(CLIENT, HOST) == NEW_MAC
    assert env.counters.total["changed"] == 1
    env.finish()


@cocotb.test(skip=BROKEN)
async def an_address_in_use_is_polled_and_one_out_of_use_forgotten(dut):
    env = await start(dut)
    await env.heard(CLIENT, HOST, MAC)
    await env.heard(CLIENT, OTHER, NEW_MAC)
    assert await env.frame(CLIENT, HOST) == MAC
    await env.pass_time(AGE)
    assert [(r.ip, r.target) for r in env.requests] == [(HOST, MAC)]        # unicast
    assert await env.frame(CLIENT, HOST) == MAC         # in use until it is known that nobody answers
    await env.heard(CLIENT, HOST, MAC)                  # the answer
    await env.pass_time(AGE)
    assert len(env.requests) == 1 and not env.model.known       # no frame since: forgotten
    env.finish()


@cocotb.test(skip=BROKEN)
async def an_address_that_no_longer_answers_is_given_up(dut):
    env = await start(dut)
    await env.heard(CLIENT, HOST, MAC)
    await env.frame(CLIENT, HOST)
    await env.pass_time(AGE + (RETRIES - 1) * INTERVAL)
    assert [r.target for r in env.requests] == [MAC] + [BROADCAST_MAC] * (RETRIES - 1)
    assert await env.frame(CLIENT, HOST) == MAC
    await env.pass_time(INTERVAL)
    assert await env.frame(CLIENT, HOST) is None and env.model.count["unanswered"] == 1
    env.finish()


@cocotb.test(skip=BROKEN)
async def destinations_outside_the_prefix_go_to_the_gateway(dut):
    env = await start(dut, {"prefix_0": 24, "gateway_0": GATEWAY, "prefix_1": 32})
    assert await env.frame(CLIENT, FAR) is None and env.requests[-1].ip == GATEWAY
    await env.heard(CLIENT, GATEWAY, MAC)
    assert await env.frame(CLIENT, FAR) == MAC and await env.frame(CLIENT, FAR + 1) == MAC
    assert await env.frame(CLIENT, HOST) is None and env.requests[-1].ip == HOST
    assert await env.frame(SERVER, HOST) is None and env.model.count["no_hop"] == 1     # no gateway there
    assert await env.frame(2, HOST) is None and env.model.count["no_hop"] == 2          # no address of ours
    await env.heard(CLIENT, GATEWAY, NEW_MAC, create=0)
    assert await env.frame(CLIENT, FAR) == NEW_MAC
    env.registers(prefix_0=25, gateway_0=OTHER)     # a gateway may be where the prefix says, or not
    await ClockCycles(dut.clk, 3)
    assert await env.frame(CLIENT, GATEWAY) is None and env.requests[-1].ip == OTHER
    env.finish()


@cocotb.test()
async def what_no_host_would_say_is_refused(dut):
    env = await start(dut, {"prefix_0": 24, "gateway_0": FAR})
    lies = [(CLIENT, VIPS[0], MAC), (CLIENT, HOST, 0), (CLIENT, HOST, 0x010000000002), (CLIENT, HOST, BROADCAST_MAC),
            (CLIENT, 0x0B000002, MAC), (2, HOST, MAC), (SERVER, 0, MAC), (SERVER, 0x7F000001, MAC),
            (SERVER, 0xE0000001, MAC), (SERVER, 0xFFFFFFFF, MAC), (SERVER, VIPS[1], MAC)]
    for number, lie in enumerate(lies, start=1):
        await env.heard(*lie)
        assert env.counters.total["refused"] == number, f"{lie} was believed"
    await env.heard(CLIENT, FAR, MAC)       # the gateway may be anywhere
    await env.heard(CLIENT, HOST, MAC, create=0)        # nobody asked
    assert env.model.known == 1 and env.counters.total["unsolicited"] == 1
    env.finish()


@cocotb.test(skip=BROKEN)
async def a_standby_asks_for_nothing(dut):
    env = await start(dut)
    env.set_active(0)
    assert await env.frame(CLIENT, HOST) is None
    await env.heard(CLIENT, OTHER, MAC)
    assert await env.frame(CLIENT, OTHER) == MAC
    await env.pass_time(AGE)
    assert not env.requests and not env.model.entries
    env.set_active(1)
    await env.frame(CLIENT, HOST)
    env.set_active(0)
    await env.pass_time(INTERVAL)
    assert len(env.requests) == 1 and not env.model.entries
    env.finish()


@cocotb.test(skip=BROKEN)
async def agrees_with_the_model_whatever_comes(dut):
    """Random frames, packets and ticks; ticks wrap, requests wait."""
    env = await start(dut, {"prefix_0": 24, "gateway_0": GATEWAY}, now=2**32 - 60, pause=0.9)
    rng, sets, hosts = env.rng, {}, []
    while len(hosts) < 8:                   # no more of a set than it has ways
        host = rng.randrange(2), 0x0A000000 + rng.choice((0, 1 << 16)) + rng.randrange(2, 250)
        if sets.setdefault(place(*host), 0) < WAYS - 1:
            sets[place(*host)] += 1
            hosts.append(host)
    for _ in range(400):
        network, ip = rng.choice(hosts)
        what = rng.random()
        if what < 0.35:
            await env.frame(network, rng.choice((ip, ip, FAR)) if network == CLIENT else ip)
        elif what < 0.6:
            await env.heard(network, rng.choice((ip, ip, ip, GATEWAY)), rng.choice((MAC, NEW_MAC)) + rng.randrange(3),
                            int(rng.random() < 0.5))
        elif what < 0.99:
            await env.pass_time(rng.choice((1, 1, 1, 5)))
        else:
            env.set_active(rng.random() < 0.7)
    env.set_active(1)
    env.finish()
    assert set(env.model.count) >= {"resolved", "missed", "requests", "polls", "unanswered", "learned", "confirmed",
                                    "changed", "aged", "unsolicited", "refused"}


def of_one_set(number):
    """So many addresses of one set of the client network."""
    wanted = place(CLIENT, HOST)
    return [ip for ip in range(HOST, HOST + 64 * ENTRIES) if place(CLIENT, ip) == wanted][:number]


@cocotb.test(skip=BROKEN)
async def addresses_in_use_are_not_driven_out(dut):
    env = await start(dut)
    *kept, spare, last = of_one_set(WAYS + 2)
    for n, ip in enumerate(kept):
        env.learn(CLIENT, ip, MAC + n)
    await ClockCycles(dut.clk, ROUND)
    for n, ip in enumerate(kept[1:], start=1):
        assert await env.ask(CLIENT, ip) == MAC + n
        await ClockCycles(dut.clk, ROUND)
    env.learn(CLIENT, spare, NEW_MAC)           # takes the place of the one that is not in use
    await ClockCycles(dut.clk, ROUND)
    assert await env.ask(CLIENT, spare) == NEW_MAC
    await ClockCycles(dut.clk, ROUND)
    assert not env.counters.total["full"]
    assert await env.ask(CLIENT, last) is None and await env.ask(CLIENT, kept[0]) is None
    await ClockCycles(dut.clk, ROUND)
    env.learn(CLIENT, last, NEW_MAC)
    await ClockCycles(dut.clk, ROUND)
    assert env.counters.total["full"] == 3 and not env.taken() and int(dut.known.value) == WAYS
    for n, ip in enumerate(kept[1:], start=1):
        assert await env.ask(CLIENT, ip) == MAC + n
    assert await env.ask(SERVER, HOST) is None
    await ClockCycles(dut.clk, ROUND)
    assert [r.network for r in env.taken()] == [SERVER]     # the other network has entries of its own


@cocotb.test(skip=BROKEN)
async def an_address_in_use_is_not_driven_out_when_it_is_heard(dut):
    """Strangers do not take its place between the answer to a poll and its next frame."""
    env = await start(dut)
    *kept, stranger, last = of_one_set(WAYS + 2)
    for n, ip in enumerate(kept):
        env.learn(CLIENT, ip, MAC + n)
        await ClockCycles(dut.clk, ROUND)
        assert await env.ask(CLIENT, ip) == MAC + n
        await ClockCycles(dut.clk, ROUND)
        for _ in range(2):          # two answers, of which one was late
            env.learn(CLIENT, ip, MAC + n)
    await ClockCycles(dut.clk, ROUND)
    env.learn(CLIENT, stranger, NEW_MAC)
    await ClockCycles(dut.clk, ROUND)
    assert await env.ask(CLIENT, last) is None
    await ClockCycles(dut.clk, ROUND)
    assert env.counters.total["full"] == 2 and not env.taken() and int(dut.known.value) == WAYS
    for n, ip in enumerate(kept[1:], start=1):
        assert await env.ask(CLIENT, ip) == MAC + n
        await ClockCycles(dut.clk, ROUND)
    dut.now.value = env.now + AGE               # the one that had no frame is forgotten, and gives its place
    await ClockCycles(dut.clk, ROUND)
    assert env.counters.total["aged"] == 1 and int(dut.known.value) == WAYS - 1
    env.learn(CLIENT, stranger, NEW_MAC)
    await ClockCycles(dut.clk, ROUND)
    assert await env.ask(CLIENT, stranger) == NEW_MAC and env.counters.total["full"] == 2


@cocotb.test(skip=BROKEN)
async def answers_in_seven_clocks_whatever_the_keeper_does(dut):
    """Egress can afford seven (tests/egress); every way, misses, with ARP packets all the time."""
    env = await start(dut)
    hosts = of_one_set(WAYS)
    for n, ip in enumerate(hosts):
        env.learn(CLIENT, ip, MAC + n)
    await ClockCycles(dut.clk, ROUND)
    slowest = 0
    for n in range(200):
        env.learn(CLIENT, env.rng.choice(hosts), NEW_MAC + n % 3)
        env.queries.send({"iface": CLIENT, "ip": env.rng.choice((*hosts, OTHER))})
        while not int(dut.i_query__valid.value):
            await RisingEdge(dut.clk)
        clocks = 0
        while not int(dut.o_answer__valid.value):
            await RisingEdge(dut.clk)
            clocks += 1
            assert clocks < 50
        slowest = max(slowest, clocks)
        await ClockCycles(dut.clk, env.rng.randrange(1, 4))
    dut._log.info("slowest answer %d clocks", slowest)
    assert slowest == 7
    await ClockCycles(dut.clk, 20 * 200)
    total = env.counters.total
    assert env.learns.empty() and total["changed"] + total["confirmed"] + total["learned"] == 200 + WAYS


@cocotb.test(skip=BROKEN)
async def nothing_waits_for_cores_that_take_no_requests(dut):
    """Cores wait for LEARN to be taken; if the table waited for cores, both would wait for ever."""
    env = await start(dut)
    env.events.pause = 1.1
    await ClockCycles(dut.clk, 2)
    for n in range(6):
        assert await env.ask(CLIENT, HOST + n) is None
        await ClockCycles(dut.clk, ROUND)
    for n in range(4):
        env.learn(CLIENT, HOST + n, MAC + n)
    await ClockCycles(dut.clk, 4 * ROUND)
    assert env.learns.empty()
    for n in range(4):
        assert await env.ask(CLIENT, HOST + n) == MAC + n
    env.events.pause = 0.0
    await ClockCycles(dut.clk, 4 * ROUND)
    assert {r.ip for r in env.taken()} >= {HOST + 4, HOST + 5}


@cocotb.test(skip=BROKEN)
async def a_reset_forgets_everything(dut):
    env = await start(dut)
    await env.heard(CLIENT, HOST, MAC)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, ROUND)
    assert await env.ask(CLIENT, HOST) is None and not int(dut.known.value)
