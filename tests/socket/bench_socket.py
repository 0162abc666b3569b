"""Random commands and reads against the model; see test_socket.py."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.message import MessageKind
from spps.layouts.socket import ReleaseArgument
from spps.socket import SocketMemoryController
from spps_sim.model.socket import PagedMemory
from spps_sim.testbench.bus.stream import pack
from spps_sim.testbench.runner import default_seed
from tests.socket.env_socket import COUNTS, PAGES, PARAMS, header, start
from tests.socket.ring import SPAN, Ring
from tests.socket.sizes import AXI, CONNECTIONS, RING, WIDTH

#: numbers of beats behind the header that a kind must not have
WRONG_BEATS = ((MessageKind.COPY, (0, 1, 3, 5)), (MessageKind.RELEASE, (1, 2)), (MessageKind.CONSUMED, (0, 1, 2)))
#: reads that are refused: (connection, direction, pool), bytes
BAD_READS = (((CONNECTIONS, 0, 0), 20), ((0xFFFF, 0, 1), 5), ((0, 0, 0), 0), ((1, 0, 0), RING + 1), ((1, 0, 0), 65535))


async def random_traffic(dut, idle, pause, messages=300):
    tb = await start(dut, default_seed() * 1000 + int(idle * 10) * 10 + int(pause * 10), idle, pause)
    rng, tb.keeping = tb.rng, True
    rings = {(c, d): Ring(rng, c, d) for c in range(CONNECTIONS) for d in (0, 1)}
    for tag in range(messages):
        choice = rng.random()
        ring = rng.choice([rings[0, 0], rings[0, 1], rings[1, 0], rng.choice(list(rings.values()))])
        conn, direction, pool = ring.place
        if choice < 0.4:
            length = min(rng.choice((rng.randrange(1, 40), rng.randrange(1, 700), rng.randrange(1, 9), 64, 1460)), RING)
            if ring.head + length - ring.released > RING and rng.random() < 0.95:
                continue                                # the window is full
            broken = rng.random()
            kwargs = {}
            if broken < 0.02:
                kwargs = {"err": True}
            elif broken < 0.04:
                kwargs = {"answer": rng.randbytes(rng.randrange(1, length + 1))}
            elif broken < 0.06:
                kwargs = {"answer": rng.randbytes(length + rng.randrange(1, 40))}
            problems = sum(tb.model.count.values()) - tb.model.count["copies"]
            tb.copy(conn, direction, pool if rng.random() < 0.97 else (pool + 1) % 4, ring.head, length, **kwargs)
            ring.head += length
            if sum(tb.model.count.values()) - tb.model.count["copies"] != problems:
                ring.released = ring.head
        elif choice < 0.7:
            length = rng.choice((0, 1, 8, 30, 64))
            reads = []
            for _ in range(rng.choice((0, 1, 1, 2))):
                live = ring.head - ring.released
                if rng.random() < 0.1:
                    place, size = rng.choice(BAD_READS)
                    reads.append((place, ring.head, size, tb.model.read(*place, ring.head % SPAN, size)))
                elif rng.random() < 0.1:                # perhaps not there, or another pool's
                    place, size = (conn, direction, rng.randrange(4)), rng.randrange(1, 900)
                    offset = ring.released - rng.randrange(2000)
                    reads.append((place, offset, size, tb.model.read(*place, offset % SPAN, size)))
                elif live:
                    back = rng.randrange(1, live + 1)
                    offset, size = ring.head - back, min(rng.randrange(1, back + 1), RING)
                    reads.append((ring.place, offset, size, tb.model.read(*ring.place, offset % SPAN, size)))
            tb.reads_of[tag] = reads
            tb.send([header(MessageKind.OUTPUT.value, length, tag)] + [rng.getrandbits(64) for _ in range(length)])
        elif choice < 0.86:                             # a record: both directions of a connection
            kind = rng.choice((MessageKind.SYNC, MessageKind.CONSUMED))
            pair = [rings[conn, 1], rings[conn, 0]]     # leg 0 sends what leg 1 received
            if rng.random() < 0.04:
                tb.record(kind, conn, (0, 0), sort=2, beats=rng.choice((0, 24)))
                for one in pair:
                    one.released = one.head
                    one.place = conn, one.place[1], rng.choice([p for p in range(4) if COUNTS[p]])
            else:
                for one in pair:
                    one.released = rng.choice((one.released, one.head, rng.randrange(one.released, one.head + 1)))
                late = rng.random() < 0.05
                snd_una = [one.released - 3000 * late for one in pair]
                tb.record(kind, conn, snd_una, sort=int(rng.random() < 0.1), beats=rng.choice((3, 4, 24)))
        elif choice < 0.90:
            argument = {"ref": rng.getrandbits(16), "refused": rng.getrandbits(1), "spare": rng.getrandbits(15)}
            tb.send([header(MessageKind.RELEASE.value, 0, pack(ReleaseArgument, argument))])
        elif choice < 0.92:
            tb.copy(rng.choice((CONNECTIONS, 0xFFFF)), 0, 0, 0, 10)
            kind = rng.choice((MessageKind.SYNC, MessageKind.CONSUMED))
            tb.record(kind, rng.choice((CONNECTIONS, 0xFFFF)), (0, 0))
        elif choice < 0.94:
            tb.copy(*ring.place, ring.head, rng.choice((RING + 1, 65535)), answer=b"")
        elif choice < 0.96:
            tb.copy(*ring.place, ring.head, 0)
        else:                   # wrong number of beats
            kind, beats = rng.choice(WRONG_BEATS)
            extra = rng.choice(beats)
            conn = rng.getrandbits(16) % CONNECTIONS
            tb.send([header(kind.value, extra, conn)] + [rng.getrandbits(64) for _ in range(extra)])
        while len(tb.cmd.queue) > 60:
            await RisingEdge(dut.clk)
    await tb.drain()
    for conn in range(CONNECTIONS):
        tb.record(MessageKind.CONSUMED, conn, (0, 0), sort=2, beats=0)
    await tb.drain()
    assert tb.levels() == list(COUNTS), "every page comes back"


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.5), (0.3, 0.3)]))
async def commands_and_reads_agree_with_model(dut, idle, pause):
    await random_traffic(dut, idle, pause)


def everything_of(tb, ring, length):
    """Read `length` live bytes of a ring after the next OUTPUT."""
    offset = ring.head - length
    tag = len(tb.model.passed)
    tb.reads_of[tag] = [(ring.place, offset, length, tb.model.read(*ring.place, offset % SPAN, length))]
    tb.send([header(MessageKind.OUTPUT.value, 0, tag)])


def fill(tb, ring, length, **kwargs):
    tb.copy(*ring.place, ring.head, length, **kwargs)
    ring.head += length


async def slow(dut, seed):
    """A bench whose test looks at one thing; no idle gaps."""
    tb = await start(dut, default_seed() + seed)
    ring = Ring(tb.rng, 0, 0)
    while tb.levels() != list(COUNTS):      # sweep
        await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, 400)
    return tb, ring


@cocotb.test(skip=bool(AXI))
async def moves_one_word_per_clock_both_ways(dut):
    """Half a ring is copied while half a ring is read, in as many clocks as it has words and a few; all page sizes."""
    tb, _ = await slow(dut, 1)
    for pool in range(4):
        first, second = Ring(tb.rng, 0, pool & 1), Ring(tb.rng, 1 + pool // 2, pool & 1)
        for ring in (first, second):
            ring.place, ring.head = (*ring.place[:2], pool), tb.rng.randrange(SPAN)
        fill(tb, first, RING // 2)
        await tb.drain()
        offset = first.head - RING // 2
        tb.ask(first.place, offset, RING // 2, tb.model.read(*first.place, offset % SPAN, RING // 2))
        done = len(tb.free.received) + 1
        fill(tb, second, RING // 2)
        clocks = 0
        while tb.expected or len(tb.free.received) < done:
            await RisingEdge(dut.clk)
            clocks += 1
        words = RING // 2 // (WIDTH // 8)
        dut._log.info("pages of %d bytes: %d words copied and read in %d clocks", PAGES[pool], words, clocks)
        assert clocks <= words + 30
        for ring in (first, second):
            tb.record(MessageKind.CONSUMED, ring.place[0], (0, 0), sort=2, beats=0)
        await tb.drain()


@cocotb.test(skip=bool(AXI))
async def outputs_records_and_reads_take_the_clocks_of_the_readme(dut):
    """Back to back: an OUTPUT 3 clocks more than its beats, a record that frees nothing 7, a read 6."""
    tb, ring = await slow(dut, 9)

    async def clocks(done, number):
        """Clocks per item between the second and the last of them."""
        while done() < 2:
            await RisingEdge(dut.clk)
        passed = 0
        while done() < number:
            await RisingEdge(dut.clk)
            passed += 1
        return passed / (number - 2)

    for _ in range(12):
        tb.send([header(MessageKind.OUTPUT.value, 8)] + [tb.rng.getrandbits(64) for _ in range(8)])
    assert await clocks(lambda: len(tb.passed), 12) == 9 + 3
    await tb.drain()
    before = len(tb.passed)
    for _ in range(12):
        tb.record(MessageKind.SYNC, CONNECTIONS - 1, (0, 0), beats=4)
    assert await clocks(lambda: len(tb.passed) - before, 12) == 5 + 7
    await tb.drain()
    words, size = 64, WIDTH // 8
    ring.head = size * 1000
    fill(tb, ring, (words + 1) * size)
    await tb.drain()
    for shift in range(size):
        offset, length = size * 1000 + shift, words * size
        for _ in range(12):
            tb.ask(ring.place, offset, length, tb.model.read(*ring.place, offset, length))
        extra = await clocks(lambda: 12 - len(tb.expected), 12) - words
        assert extra == 6 + (shift != 0), f"a read of {words} words from byte {shift} takes {extra} clocks more"
        await tb.drain()


@cocotb.test()
async def passes_output_only_after_copy_is_written(dut):
    """An OUTPUT behind a COPY stays inside while the scratchpad does not answer."""
    tb, ring = await slow(dut, 2)
    held, tb.asked.callback = [], lambda request: held.append(request)
    fill(tb, ring, 300)
    everything_of(tb, ring, 300)
    await ClockCycles(dut.clk, 200)
    assert not tb.out.received and not tb.free.received and len(held) == 1
    tb.answer(held[0])
    await tb.drain()


@cocotb.test()
async def gives_the_ring_up_when_the_scratchpad_answers_wrongly(dut):
    """What a COPY did not bring is never read: no byte of the ring is, until it begins anew."""
    tb, ring = await slow(dut, 3)
    for asked, answered, err in ((100, 117, 0), (64, 63, 0), (300, 60, 0), (1, 40, 0), (33, 1, 0), (700, 700, 1)):
        fill(tb, ring, 500)
        fill(tb, ring, asked, answer=tb.rng.randbytes(answered), err=bool(err))
        everything_of(tb, ring, asked + 200)
        await tb.drain()
        fill(tb, ring, 200)
        everything_of(tb, ring, 200)
        await tb.drain()
    assert [tb.counters.total[name] for name in ("scratch_error", "stale_reads", "reads")] == [6, 6, 6]


@cocotb.test()
async def keeps_bytes_that_come_before_their_turn(dut):
    """Pages are allocated where bytes arrive; holes are filled later, also inside a page."""
    tb, ring = await slow(dut, 4)
    base = ring.head
    pieces = [(at, min(137, 1900 - at)) for at in range(0, 1900, 137)]
    tb.rng.shuffle(pieces)
    for at, length in pieces:
        tb.copy(*ring.place, base + at, length)
    ring.head = base + 1900
    everything_of(tb, ring, 1900)
    await tb.drain()
    for released in range(0, 1900, 311):
        tb.record(MessageKind.SYNC, 0, (0, base + released))
        everything_of(tb, ring, 1900 - released)
        await tb.drain(settle=10)
    assert tb.counters.total["reads"] == 1 + 7 and not tb.counters.total["stale_reads"]


@cocotb.test()
async def a_page_freed_under_a_read_ends_in_err(dut):
    """The reader waits in the middle of a packet while its pages are freed and given to another ring."""
    tb, ring = await slow(dut, 5)
    pool = ring.place[2]
    pages = COUNTS[pool]
    fill(tb, ring, RING // 2)
    await tb.drain()
    tb.data.pause = 1.1
    offset = ring.head - RING // 2
    tb.ask(ring.place, offset, RING // 2, tb.model.read(*ring.place, offset % SPAN, RING // 2))
    await ClockCycles(dut.clk, 60)
    tb.record(MessageKind.SYNC, 0, (0, ring.head))
    for n in range(pages * PAGES[pool] // (RING // 2) - 1):        # the stack gives the pages out again
        other = Ring(tb.rng, 1 + n // 2 % 3, n % 2)
        other.place = (*other.place[:2], pool)
        other.head = other.released = 0x1000 * n
        fill(tb, other, RING // 2)
    while len(tb.free.received) < len(tb.model.freed):
        await RisingEdge(dut.clk)
    tb.data.pause = 0.0
    await tb.drain()
    assert tb.refused == 1 and tb.counters.total["stale_reads"] == 1


@cocotb.test()
async def an_empty_pool_is_told_before_it_is_empty(dut):
    """Windows close first, then payload is refused, and a COPY fails only then; the other pools are not affected."""
    tb, ring = await slow(dut, 6)
    geometry = SocketMemoryController(PARAMS).geometry
    for pool in range(4):
        seen, failed = [], tb.model.count["no_page"]
        rings = [Ring(tb.rng, conn, direction) for conn in range(CONNECTIONS) for direction in (0, 1)]
        for one in rings:
            one.place = (*one.place[:2], pool)
            one.head = one.released = tb.rng.randrange(SPAN)
        while tb.model.memory.free[pool] and tb.model.count["no_page"] == failed:
            one = tb.rng.choice([r for r in rings if r.head - r.released < RING - 2 * PAGES[pool]])
            fill(tb, one, 3 * PAGES[pool] // 2)
            await tb.drain(settle=4)
            ready, opened = int(dut.pool_status.value) & 15, int(dut.pool_status.value) >> 4
            free = tb.levels()[pool]
            assert ready >> pool & 1 == (free >= geometry.reserve[pool]), (pool, free)
            assert opened >> pool & 1 == (free >= max(2 * geometry.reserve[pool], COUNTS[pool] // 4)), (pool, free)
            assert ready | 1 << pool == opened | 1 << pool == 15
            assert int(dut.pools_ready.value) == (opened == 15)
            seen.append(free)
        assert min(seen) < geometry.reserve[pool]
        for conn in range(CONNECTIONS):
            tb.record(MessageKind.CONSUMED, conn, (0, 0), sort=2, beats=0)
        await tb.drain()


@cocotb.test()
async def every_page_is_free_after_the_unit_was_active(dut):
    """When `active` falls all pages come back, and copies that are still under way are refused."""
    tb, ring = await slow(dut, 7)
    fill(tb, ring, 1000)
    everything_of(tb, ring, 1000)
    await tb.drain()
    dut.active.value = 0
    tb.model.active, tb.model.memory = False, PagedMemory(PAGES, COUNTS, 2 * RING)
    await ClockCycles(dut.clk, 10)
    fill(tb, ring, 300)
    everything_of(tb, ring, 300)
    await tb.drain()
    assert tb.levels() == list(COUNTS) and tb.counters.total["inactive"] == 1 and tb.counters.total["stale_reads"] == 1
    dut.active.value, tb.model.active = 1, True
    fill(tb, ring, 300)
    everything_of(tb, ring, 300)
    await tb.drain()


@cocotb.test(skip=not AXI)
async def an_error_of_external_memory_gives_the_ring_up(dut):
    """A write that failed is counted and its ring is never read; a read that failed ends in err."""
    tb, ring = await slow(dut, 8)
    tb.axi.refuse_writes = 1
    fill(tb, ring, 500)
    tb.model.count["copies"] -= 1
    tb.model.count["write_error"] += 1
    tb.model.memory.drop(ring.place[:2])
    everything_of(tb, ring, 500)
    await tb.drain()
    fill(tb, ring, 500)
    await tb.drain()
    tb.axi.refuse_reads = 1
    expected = tb.model.read(*ring.place, (ring.head - 500) % SPAN, 500)
    assert expected is not None
    tb.model.count["reads"] -= 1
    tb.model.count["read_error"] += 1
    tb.ask(ring.place, ring.head - 500, 500, None)
    await tb.drain()
    everything_of(tb, ring, 500)
    await tb.drain()
