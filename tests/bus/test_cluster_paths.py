"""What the clusters share beside messages: DMA commands, flowstate memory, instruction words."""
from amaranth.sim import Simulator

from spps.bus import DmaBus, FlowstateBus, InstructionBus
from spps.layouts.dma import DmaOp
from spps.params import TINY

CLUSTERS = 3
PARAMS = TINY.replace(clusters=CLUSTERS, pool_pages=(512, 128, 128, 128))


def simulate(dut, *benches):
    """Runs the benches side by side, for as long as the first one."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(benches[0])
    for bench in benches[1:]:
        simulator.add_testbench(bench, background=True)
    simulator.run()


async def send(ctx, port, **fields):
    for name, value in fields.items():
        ctx.set(getattr(port.payload, name) if name != "value" else port.payload, value)
    ctx.set(port.valid, 1)
    ready = 0
    while not ready:
        *_, ready = await ctx.tick().sample(port.ready)
    ctx.set(port.valid, 0)


async def take(ctx, port):
    ctx.set(port.ready, 1)
    valid = 0
    while not valid:
        *_, valid, payload = await ctx.tick().sample(port.valid, port.payload)
    ctx.set(port.ready, 0)
    return payload


def test_each_dma_command_goes_to_its_cluster_and_its_answer_names_it():
    dut, got, unknown = DmaBus(PARAMS), [], []

    def cluster(n):
        async def answers(ctx):
            while True:
                command = await take(ctx, dut.o_cluster[n])
                assert command.conn == 10 + n
                await send(ctx, dut.i_cluster[n], op=command.op, core=command.core, workspace=command.workspace,
                           conn=command.conn)
        return answers

    async def director(ctx):
        for n in (2, 0, 1, 9):
            await send(ctx, dut.i, cluster=n, command={"op": DmaOp.LOAD, "core": 1, "workspace": 2, "conn": 10 + n})
        for _ in range(CLUSTERS):
            done = await take(ctx, dut.o)
            got.append((done.cluster, done.command.op, done.command.core, done.command.workspace, done.command.conn))

    async def counter(ctx):
        while True:
            *_, pulse = await ctx.tick().sample(dut.count.no_target)
            unknown.append(pulse)

    simulate(dut, director, *(cluster(n) for n in range(CLUSTERS)), counter)
    assert sorted(got) == [(n, DmaOp.LOAD, 1, 2, 10 + n) for n in range(CLUSTERS)]
    assert sum(unknown) == 1


def test_each_cluster_gets_the_flowstate_it_asked_for_and_every_write_arrives():
    dut, got, written = FlowstateBus(PARAMS), {n: [] for n in range(CLUSTERS)}, []

    async def memory(ctx):
        while True:
            conn = await take(ctx, dut.o_read)
            for beat in range(3):
                await send(ctx, dut.i_data, data=conn << 8 | beat, last=int(beat == 2))

    async def writes(ctx):
        while True:
            word = await take(ctx, dut.o_write)
            written.append((word.conn, word.beat, word.data))

    def reader(n):
        async def reads(ctx):
            for conn in (n, n + 8):
                await send(ctx, dut.i_read[n], value=conn)
        return reads

    def taker(n):
        async def takes(ctx):
            while True:
                got[n].append((await take(ctx, dut.o_data[n])).data)
        return takes

    def writer(n):
        async def write(ctx):
            for beat in range(2):
                await send(ctx, dut.i_write[n], conn=n, beat=beat, data=100 * n + beat)
        return write

    async def wait(ctx):
        await ctx.tick().repeat(200)

    simulate(dut, wait, memory, writes, *(side(n) for side in (reader, taker) for n in range(CLUSTERS)),
             *(writer(n) for n in range(CLUSTERS + 1)))
    assert got == {n: [conn << 8 | beat for conn in (n, n + 8) for beat in range(3)] for n in range(CLUSTERS)}
    assert sorted(written) == [(n, beat, 100 * n + beat) for n in range(CLUSTERS + 1) for beat in range(2)]


def test_each_instruction_word_goes_to_its_cluster():
    dut, got, unknown = InstructionBus(PARAMS), [], []

    def cluster(n):
        async def takes(ctx):
            while True:
                word = await take(ctx, dut.o[n])
                got.append((n, word.address, word.data))
        return takes

    async def host(ctx):
        for address, n in enumerate((0, 2, 2, 7, 1)):
            await send(ctx, dut.i, cluster=n, address=address, data=1 << 35 | address)
        await ctx.tick().repeat(10)

    async def counter(ctx):
        while True:
            *_, pulse = await ctx.tick().sample(dut.count.no_target)
            unknown.append(pulse)

    simulate(dut, host, *(cluster(n) for n in range(CLUSTERS)), counter)
    assert got == [(n, address, 1 << 35 | address) for address, n in ((0, 0), (1, 2), (2, 2), (4, 1))]
    assert sum(unknown) == 1
