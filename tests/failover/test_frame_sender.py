"""Serials of sync frames: above the last one whatever the host writes, and never twice."""
from amaranth.sim import Simulator

from spps.failover.frame_sender import FrameSender
from spps_sim.model.failover import HEARTBEAT, TAG, decode

TOP = (1 << 64) - 1


def serials(steps, first=0):
    """Serials of the frames that a sender sends. steps: "frame", or a session that the host writes."""
    dut, found, words = FrameSender(first), [], []
    ended = 0

    async def bench(ctx):
        nonlocal ended
        ctx.set(dut.o.ready, 1)
        for step in steps:
            if step == "frame":
                ctx.set(dut.heartbeat, 1)
                await ctx.tick()
                ctx.set(dut.heartbeat, 0)
            elif step is not None:
                ctx.set(dut.session, step)
            for _ in range(15 if step is not None else 0):
                ended += ctx.get(dut.count.serial_end)
                if ctx.get(dut.o.valid):
                    words.append(ctx.get(dut.o.payload.data).to_bytes(8, "big"))
                    if ctx.get(dut.o.payload.last):
                        frame = decode(b"".join(words) + bytes(TAG))
                        assert frame is not None and frame.type == HEARTBEAT
                        found.append(frame.serial)
                        words.clear()
                await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return found, ended


def test_every_frame_has_the_next_serial():
    assert serials(["frame"] * 3) == ([1, 2, 3], 0)


def test_a_session_is_the_upper_half_and_a_smaller_one_has_no_effect():
    found, _ = serials(["frame", 5, "frame", "frame", 4, "frame", 0, "frame", 5, "frame", 6, "frame"])
    assert found == [1, (5 << 32) + 1, (5 << 32) + 2, (5 << 32) + 3, (5 << 32) + 4, (5 << 32) + 5, (6 << 32) + 1]


def test_a_session_written_while_frames_are_sent_makes_no_serial_twice():
    """The host writes it in any clock of a frame."""
    for clock in range(24):
        dut, found, words = FrameSender((1 << 32) - 2), [], []

        async def bench(ctx, dut=dut, found=found, words=words, clock=clock):
            ctx.set(dut.o.ready, 1)
            ctx.set(dut.heartbeat, 1)
            for now in range(60):
                if now == clock:
                    ctx.set(dut.session, 9)
                if ctx.get(dut.o.valid):
                    words.append(ctx.get(dut.o.payload.data).to_bytes(8, "big"))
                    if ctx.get(dut.o.payload.last):
                        found.append(decode(b"".join(words) + bytes(TAG)).serial)
                        words.clear()
                await ctx.tick()

        sim = Simulator(dut)
        sim.add_clock(1e-8)
        sim.add_testbench(bench)
        sim.run()
        assert len(found) > 4 and found == sorted(set(found))
        assert {serial >> 32 for serial in found} <= {0, 1, 9} and found[-1] >> 32 == 9


def test_a_full_lower_half_carries():
    assert serials(["frame"] * 3, (3 << 32) - 2) == ([(3 << 32) - 1, 3 << 32, (3 << 32) + 1], 0)


def test_nothing_is_sent_after_the_last_serial():
    found, ended = serials(["frame"] * 6, TOP - 2)
    assert found == [TOP - 1, TOP] and ended == 1
    # a session has to be above the upper half, and there is none above the last
    found, ended = serials([*["frame"] * 3, 0xFFFFFFFF, "frame"], TOP - 1)
    assert found == [TOP] and ended == 1
