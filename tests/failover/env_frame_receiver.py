"""A receiver of sync frames that is given bytes, beside the model of what it takes."""
import random

from amaranth.sim import Simulator

from spps.failover.frame_receiver import FrameReceiver
from spps.params import TINY
from spps_sim.model.failover import HEARTBEAT, STATE, Guard, SyncFrame, encode, refusal

CONNECTIONS = TINY.connections
KEYS = tuple(random.Random(11).randbytes(16) for _ in "ab")
SESSION = 5             # of the receiver
TAKEN = None            # what becomes of a good frame
LINES = tuple(range(0x100, 0x108))


def heartbeat(serial, **fields):
    """A frame without lines of unit 0."""
    return SyncFrame(**{"type": HEARTBEAT, "epoch": 1, "number": 9, "serial": serial, "heard": SESSION, **fields})


def delta(serial, **fields):
    """A frame with lines of unit 0."""
    return heartbeat(serial, **{"type": STATE, "lines": LINES, **fields})


class Env:
    """Unit 1, a standby, whose receiver takes frames of unit 0.

    keys, accept, session, active: as the ports. guard: a FrameGuard that is not the usual one.
    """

    def __init__(self, *, keys=(KEYS[0], bytes(16)), accept=1, session=SESSION, active=0, guard=None):
        self.dut = FrameReceiver(TINY, guard)
        self.model = Guard(1, keys, accept, session)
        self.active, self.script = active, []
        self.expected = []          # what becomes of each frame: the name of a counter, or TAKEN

    def give(self, data, err=False):
        """Give it a frame as bytes, or as a SyncFrame that its peer makes with the right key; returns its bytes."""
        if isinstance(data, SyncFrame):
            data = encode(data, self.model.keys[data.slot])
        self.script.append((data, err, self._settings()))
        self.expected.append(refusal(data, err, self.model, CONNECTIONS, self.active))
        return data

    def _settings(self):
        return {"keys": int.from_bytes(b"".join(self.model.keys), "little"), "accept": self.model.accept,
                "session": self.model.session, "active": self.active, "unit": 1}

    def run(self, gap=lambda: 0, wait=lambda: 0):
        """Simulate; returns what became of each frame, and checks what is offered.

        gap, wait: clocks before a word, and before a header is taken.
        """
        dut, found, offers = self.dut, [], []

        async def bench(ctx):
            for data, err, settings in self.script:
                for name, value in settings.items():
                    ctx.set(getattr(dut, name), value)
                await ctx.tick().repeat(4)
                words = [data[at:at + 8] for at in range(0, len(data), 8)]
                for n, word in enumerate(words):
                    last = n == len(words) - 1
                    ctx.set(dut.i.payload, {"data": int.from_bytes(word.ljust(8, b"\0"), "big"), "last": last,
                                            "err": err and last, "empty": 8 - len(word)})
                    await ctx.tick().repeat(1 + gap())
                    ctx.set(dut.i.valid, 1)
                    await ctx.tick().until(dut.i.ready)
                    ctx.set(dut.i.valid, 0)
                await self._outcome(ctx, found, offers, wait)

        sim = Simulator(dut)
        sim.add_clock(1e-8)
        sim.add_testbench(bench)
        sim.run()
        taken = [data for (data, *_), reason in zip(self.script, self.expected) if reason is TAKEN]
        if found == self.expected:
            assert [(number, lines) for number, lines in offers] == [
                (int.from_bytes(data[18:22], "big"), data[56:-8]) for data in taken]
        return found

    async def _outcome(self, ctx, found, offers, wait):
        dut = self.dut
        for _ in range(300):
            reasons = [name for name in dut.COUNTERS if name != "frame_in" and ctx.get(getattr(dut.count, name))]
            if reasons:
                found.extend(reasons)
                return
            if ctx.get(dut.o.valid):
                await ctx.tick().repeat(1 + wait())
                offers.append((ctx.get(dut.o.payload.number), await self._lines(ctx)))
                ctx.set(dut.o.ready, 1)
                await ctx.tick()
                ctx.set(dut.o.ready, 0)
                found.append(TAKEN)
                return
            await ctx.tick()
        raise AssertionError("a frame is neither offered nor counted")

    async def _lines(self, ctx):
        """The lines of the frame that is offered, as bytes."""
        dut, lines = self.dut, b""
        if ctx.get(dut.o.payload.type).value != STATE:
            return lines
        ctx.set(dut.read, 1)
        for beat in range(4 if not ctx.get(dut.o.payload.kind) else 24):
            ctx.set(dut.beat, beat)
            await ctx.tick()
            value = ctx.get(dut.lines)
            lines += (value & 0xFFFFFFFF).to_bytes(4, "big") + (value >> 32).to_bytes(4, "big")
        ctx.set(dut.read, 0)
        return lines
