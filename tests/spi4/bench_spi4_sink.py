"""cocotb bench of the SPI-4 sink against the model of the standard."""
import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from spps.spi4 import Spi4Sink
from spps_sim.model.spi4 import Burst, bursts_of
from spps_sim.testbench.runner import default_seed
from tests.spi4.env_spi4_sink import MAX_FRAME, PORTS, WIDTH, Env


def interleaved(rng, packets, *, sizes=(16, 32, 64, 256), abort=0.05):
    """Bursts of random packets, ports interleaved."""
    waiting = [[] for _ in range(PORTS)]
    for _ in range(packets):
        octets = rng.randbytes(rng.choice((1, 2, 15, 16, 17, 60, 64, rng.randrange(1, 300), MAX_FRAME)))
        port = rng.randrange(PORTS)
        waiting[port] += bursts_of(octets, port, rng.choice(sizes), abort=rng.random() < abort)
    while any(waiting):
        yield rng.choice([w for w in waiting if w]).pop(0)


def damaged(rng, burst):
    """The burst with one fault, or the burst and something beside it."""
    fault = rng.randrange(12)
    if fault == 0:
        burst.flip = 1 << rng.randrange(16)
    elif fault == 1:
        burst.data_flip = rng.randrange(-(-len(burst.octets) // 2)), 1 << rng.randrange(16)
    elif fault == 2:
        return []
    elif fault == 3:
        return [burst, Burst(0, rng.randbytes(16), control=rng.choice((0x1000, 0x3000, 0x5000, 0x7000)))]
    elif fault == 4:
        return [Burst(0, rng.randbytes(32), control=0), burst]
    elif fault == 5:
        burst.octets = burst.octets[:-2] or burst.octets
    elif fault == 6:
        burst.port = rng.randrange(PORTS, 200)
    elif fault == 7:
        burst.sop = not burst.sop
        burst.crowd = True
    elif fault == 8:
        burst.octets = b""
    elif fault == 9:
        burst.octets = rng.randbytes(MAX_FRAME + rng.choice((1, 2, 16, 400)))
    elif fault == 10:
        return [Burst(0, b"", control=0x4000 if rng.random() < 0.5 else 0x0FF0), burst]
    else:
        return [burst, burst]
    return [burst]


@cocotb.test()
async def reassembles_interleaved_bursts(dut):
    env = await Env.start(dut)
    for burst in interleaved(env.rng, 150):
        env.driver.send_burst(burst)
    await env.finish()
    env.check()
    assert set(+env.count) <= {"packets", "abort"} and env.count["packets"] == 150


@cocotb.test()
async def loses_nothing_with_gaps_and_backpressure(dut):
    env = await Env.start(dut, gaps=0.2, pause=0.7)
    for burst in interleaved(env.rng, 150):
        env.driver.send_burst(burst)
    await env.finish()
    env.check()
    assert set(+env.count) <= {"packets", "abort"} and env.count["packets"] == 150
    assert all(seen == {0, 1, 2} for seen in env.statuses), "a status was never shown"


@cocotb.test()
async def smallest_bursts_never_overflow(dut):
    env = await Env.start(dut, pause=0.5)
    for burst in interleaved(env.rng, 100, sizes=(16,)):
        env.driver.send_burst(burst)
    await env.finish()
    env.check()
    assert env.count["packets"] == 100


@cocotb.test()
async def judges_damaged_bursts_as_the_model(dut):
    env = await Env.start(dut, gaps=0.05, pause=0.1)
    env.driver.send_burst(Burst(0, b"", control=0x4000))        # end of packet on an idle link
    for burst in interleaved(env.rng, 500):
        for sent in damaged(env.rng, burst) if env.rng.random() < 0.15 else [burst]:
            env.driver.send_burst(sent)
    await env.finish()
    dut._log.info("seed %d: %s", default_seed(), dict(env.count))
    missing = set(Spi4Sink.COUNTERS) - set(+env.count) - {"overflow", "input_overflow"}
    assert not missing, f"never hit: {missing}"
    env.check()


@cocotb.test()
async def counts_packets_that_overflow(dut):
    env = await Env.start(dut, gaps=0.3, pause=0.97, obey=False)
    sent = [env.rng.randbytes(600) for _ in range(40)]
    for octets in sent:
        for burst in bursts_of(octets, 1, 64):
            env.driver.send_burst(burst)
    await env.finish()
    assert not env.count["input_overflow"]
    assert env.count["overflow"] and env.count["overflow"] + env.count["packets"] == 40
    assert set(env.packets) == {1} and len(env.packets[1]) == env.count["packets"]
    rest = iter(sent)
    assert all(not err and octets in rest for octets, err in env.packets[1]), "a packet is wrong or out of order"


@cocotb.test()
async def lost_groups_leave_no_good_packet_wrong(dut):
    env = await Env.start(dut, obey=False)
    sent = [env.rng.randbytes(env.rng.choice((150, 600))) for _ in range(200)]
    for n, octets in enumerate(sent):
        for burst in bursts_of(octets, n % PORTS, 16):
            env.driver.send_burst(burst)
    await env.finish()
    assert env.count["input_overflow"], "a source that ignores status did not overflow"
    for port, packets in env.packets.items():
        good = [octets for octets, err in packets if not err]
        assert good and set(good) <= set(sent[port::PORTS])
    assert sum(map(len, env.packets.values())) == env.count["packets"]


@cocotb.test()
async def passes_a_packet_on_in_12_or_13_clocks(dut):
    env = await Env.start(dut)
    delays = set()
    for size in range(1, 65):
        env.driver.send_burst(bursts_of(env.rng.randbytes(size), size % PORTS, 256)[0])
        ended = came = clock = 0
        while not came:
            await RisingEdge(dut.clk)
            await ReadOnly()
            clock += 1
            assert clock < 200, "no packet"
            if int(dut.i__valid.value) and any(control and word >> 13 & 3 for word, control in env.group()):
                ended = clock
            if int(dut.o__valid.value):
                came = clock
        delays.add(came - ended)
        while int(dut.o__valid.value):
            await RisingEdge(dut.clk)
            await ReadOnly()
    await env.finish()
    env.check()
    assert delays == ({12} if WIDTH == 32 else {12, 13})
