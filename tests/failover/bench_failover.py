"""Two units, a link that loses, bends and repeats frames, random commands, against the model."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from spps.failover import FailoverConfig, FailoverStatus, FailoverUnit
from spps.layouts.dma import FlowstateWrite
from spps.layouts.lookup import LookupCommand
from spps.layouts.message import MessageHeader, beat_layout
from spps.layouts.packet import packet_layout
from spps_sim.model.failover import (
    CONFIRM,
    ECHO,
    HEARTBEAT,
    STATE,
    Frame,
    Gate,
    Standby,
    decode,
    encode,
)
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
    unpack,
)

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])
CONNECTIONS = 16
CONFIG, STATUS = FailoverConfig().members, FailoverStatus().members
REGISTERS = dict(hb_interval=300, lease=1500, takeover_after=2500, retransmit_after=500, isn_divider=9, isn_margin=1000, tick_margin=2)
TICK = 40           # clocks


class Unit:
    """One unit's ports and counters."""

    def __init__(self, tb, name, *, idle, pause):
        self.tb, self.name, self.dut = tb, name, tb.dut
        clock, seed = tb.dut.clk, random.Random(f"{SEED}{name}")
        self.packet = packet_layout(WIDTH)
        self.command = StreamSource(tb.dut, f"{name}__i_cmd", clock, layout=beat_layout(), idle=idle, rng=seed)
        self.link = StreamSource(tb.dut, f"{name}__i_sync", clock, layout=self.packet, idle=idle, rng=seed)
        self.outputs, self.message = [], []
        self.frame = b""
        StreamSink(tb.dut, f"{name}__o_cmd", clock, layout=beat_layout(), pause=pause, rng=seed, callback=self._beat)
        StreamSink(tb.dut, f"{name}__o_sync", clock, layout=self.packet, pause=pause, rng=seed, callback=self._word)
        self.writes = StreamSink(tb.dut, f"{name}__o_fs_write", clock, layout=FlowstateWrite, pause=pause, rng=seed).received
        self.lookups = StreamSink(tb.dut, f"{name}__o_lookup", clock, layout=LookupCommand, pause=pause, rng=seed).received
        self.counts = dict.fromkeys(FailoverUnit.COUNTERS, 0)
        self.now = 0
        self.set(now=0)
        cocotb.start_soon(self._count())
        cocotb.start_soon(self._tick())

    def get(self, name):
        group = "status__" if name in STATUS else ""
        return int(getattr(self.dut, f"{self.name}__{group}{name}").value)

    def set(self, **values):
        for name, value in values.items():
            group = "config__" if name in CONFIG else ""
            getattr(self.dut, f"{self.name}__{group}{name}").value = value

    async def _count(self):
        while True:
            await RisingEdge(self.dut.clk)
            bits = getattr(self.dut, f"{self.name}__count").value
            if bits.is_resolvable and int(bits):
                for k, name in enumerate(FailoverUnit.COUNTERS):
                    self.counts[name] += int(bits) >> k & 1

    async def _tick(self):
        """The tick counter beside the unit."""
        while True:
            for _ in range(TICK):
                await RisingEdge(self.dut.clk)
                load = getattr(self.dut, f"{self.name}__tick_load").value
                if load.is_resolvable and int(load):
                    self.now = self.get("tick")
                    self.set(now=self.now)
                    break
            else:
                self.now = self.now + 1 & 0xFFFFFFFF
                self.set(now=self.now)

    def _beat(self, beat):
        self.message.append(beat["data"])
        if len(self.message) == 1:
            # judged at the first beat: nothing may show before its time
            header = unpack(MessageHeader, beat["data"])
            self.tb.left(self, header)
        if beat["last"]:
            assert len(self.message) == 9
            self.outputs.append(tuple(self.message))
            self.message = []

    def _word(self, word):
        self.frame += word["data"].to_bytes(WIDTH // 8, "big")
        if word["last"]:
            data, self.frame = self.frame[:len(self.frame) - word["empty"]], b""
            self.tb.carry(self, data)

    def deliver(self, data, err=False):
        """A frame into i_sync."""
        step = WIDTH // 8
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            last = at + step >= len(data)
            self.link.send({"data": int.from_bytes(piece.ljust(step, b"\0"), "big"), "empty": step - len(piece), "last": last,
                            "err": int(err and last)})

    def send(self, kind, argument, body):
        header = pack(MessageHeader, {"kind": kind, "length": len(body), "argument": argument})
        for k, beat in enumerate([header, *body]):
            self.command.send({"data": beat, "last": int(k == len(body))})


class Bench:
    @classmethod
    async def start(cls, dut, *, idle=0.0, pause=0.0, loss=0.0, cut=False):
        """Drivers begin while reset holds, so that nothing of the test before is seen."""
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        bench = cls(dut, idle, pause, loss)
        bench.cut = cut
        await reset(dut)
        await ClockCycles(dut.clk, 1000)
        return bench

    def __init__(self, dut, idle, pause, loss):
        self.dut, self.loss, self.rng = dut, loss, random.Random(SEED)
        self.cut = False
        self.gate, self.standby = Gate(), Standby()
        self.frames = []
        self.a, self.b = Unit(self, "a", idle=idle, pause=pause), Unit(self, "b", idle=idle, pause=pause)
        for unit, role in ((self.a, 1), (self.b, 0)):
            unit.set(role_init=role, role_load=0, policy=0, grant=0, egress_disable=0, detector=0, unit=1 - role, **REGISTERS)
        dut._log.info("seed %d", SEED)

    def left(self, unit, header):
        assert unit is self.a
        self.gate.leave(header["length"] << 32 | header["argument"], header["argument"] & 1)

    def carry(self, unit, data):
        """The link: hand the frame over, or not, or bent, or twice."""
        frame = decode(data)
        assert frame, f"{unit.name} sent a frame that the model refuses: {data.hex()}"
        assert frame.unit == (unit is self.b)
        self.frames.append((unit.name, frame))
        peer = self.b if unit is self.a else self.a
        if self.cut:
            return
        fate = self.rng.random()
        if fate < self.loss / 2:
            return
        err = False
        if fate < self.loss:
            data, err = self.bend(data)
        for _ in range(2 if self.rng.random() < self.loss / 4 else 1):
            peer.deliver(data, err)
            if peer is self.b:
                self.standby.take(data, CONNECTIONS, err)
            else:
                # what the active may believe from now on; it is still on its way in, so this is never too strict
                answer = None if err else decode(data)
                if answer and answer.type in (CONFIRM, ECHO):
                    self.gate.confirm(answer.number)

    def bend(self, data):
        """A frame that must not be taken."""
        way = self.rng.randrange(5)
        if way == 0:
            return data, True
        if way == 1:
            return data[:8 * self.rng.randrange(1, len(data) // 8)][:-8] or data[:8], False
        if way == 2:
            return data + bytes(8 * self.rng.randrange(1, 30)), False
        place = (12, 14)[way - 3]
        return data[:place] + bytes((data[place] ^ 1 << self.rng.randrange(8),)) + data[place + 1:], False

    def record(self, kind, *, legs=2):
        rng = self.rng
        body = [rng.getrandbits(64) for _ in range(24 if kind else 4)]
        if kind and legs == 1:
            body[17] &= 0xFFFFFFFF      # leg 1: remote_ip 0
        self.a.send(6, rng.randrange(CONNECTIONS) | kind << 16, body)

    def output(self, serial, gated):
        self.a.send(5, serial << 1 | gated, [self.rng.getrandbits(64) for _ in range(8)])

    async def settle(self, limit=60000):
        """Until everything issued is confirmed and has left."""
        for _ in range(limit // 50):
            await ClockCycles(self.dut.clk, 50)
            if (self.a.command.empty() and not self.gate.gated and not self.gate.free and self.a.get("issued") == self.a.get("confirmed")
                    and self.a.link.empty() and self.b.link.empty() and self.a.get("level") == 0):
                await ClockCycles(self.dut.clk, 200)
                return
        raise AssertionError(f"not settled: gated {len(self.gate.gated)} free {len(self.gate.free)} {self.a.counts}")


async def _exchange(dut, *, idle, pause, loss):
    bench = await Bench.start(dut, idle=idle, pause=pause, loss=loss)
    a, b, rng = bench.a, bench.b, bench.rng
    # The gate's tag is the number of the last record before the output in the stream: the model learns it as commands are queued.
    outputs = records = 0
    for serial in range(150):
        if rng.random() < 0.4:
            kind = rng.choice((0, 0, 0, 1, 2))
            bench.record(kind, legs=rng.choice((1, 2)))
            bench.gate.record()
            records += 1
        else:
            gated = rng.random() < 0.7
            bench.output(serial, int(gated))
            bench.gate.command(8 << 32 | serial << 1 | int(gated), gated)
            outputs += 1
        while len(a.command.queue) > 60 or a.get("level") > 20:
            await ClockCycles(dut.clk, 20)
    await bench.settle()
    model = bench.standby
    assert model.applied == records == a.get("issued") == b.get("applied")
    assert [(w["conn"], w["beat"], w["data"]) for w in b.writes] == model.writes
    seen = []
    for command in b.lookups:
        key, op = command["key"], command["op"]
        fields = tuple(key >> shift & (1 << size) - 1 for shift, size in ((0, 32), (32, 32), (64, 16), (80, 16), (96, 8), (104, 12)))
        seen.append((op, command["conn"], None, None) if op == 2 else (op, command["conn"], command["leg"], fields))
    assert seen == model.lookups
    for name, value in model.counts.items():
        assert b.counts[name] == value, f"{name}: {b.counts[name]}, model {value}"
    assert a.counts["records"] == records and a.counts["gate_full"] == 0
    assert a.counts["passed_gated"] + a.counts["passed_ungated"] == outputs == len(a.outputs)
    assert not a.writes and not a.lookups and a.get("active") and not b.get("active") and not b.counts["takeover"]
    if loss:
        assert a.counts["retransmit"] and b.counts["bad_frame"] and b.counts["bad_version"] and b.counts["duplicate"] and b.counts["out_of_order"]


@cocotb.test()
async def good_link(dut):
    await _exchange(dut, idle=0, pause=0, loss=0)


@cocotb.test()
async def good_link_with_gaps(dut):
    await _exchange(dut, idle=0.3, pause=0.4, loss=0)


@cocotb.test()
async def bad_link(dut):
    await _exchange(dut, idle=0, pause=0, loss=0.3)


@cocotb.test()
async def bad_link_with_gaps(dut):
    await _exchange(dut, idle=0.3, pause=0.4, loss=0.3)


async def _pair(dut):
    bench = await Bench.start(dut)
    assert bench.a.get("emit_enable") and bench.a.get("protect") and not bench.b.get("emit_enable")
    return bench


@cocotb.test()
async def standby_takes_over_after_the_lease(dut):
    bench = await _pair(dut)
    a, b = bench.a, bench.b
    bench.record(1)
    bench.gate.record()
    await bench.settle()
    bench.cut = True
    ended = taken = None
    kicks = 0
    clock = b.get("isn_clock")
    for cycle in range(6000):
        await RisingEdge(dut.clk)
        assert not (a.get("emit_enable") and b.get("emit_enable")), "two masters"
        ended = cycle if ended is None and not a.get("emit_enable") else ended
        taken = cycle if taken is None and b.get("active") else taken
        kicks += b.get("kick")
        assert b.get("isn_clock") >= clock
        clock = b.get("isn_clock")
    assert ended is not None and taken is not None and ended <= REGISTERS["lease"] < taken <= REGISTERS["takeover_after"] + 10
    assert kicks == 1 and b.get("epoch") == 2 and b.get("takeovers") == 1 and not b.get("protect") and b.get("unprotected")
    assert b.get("issued") == b.get("confirmed") == 1 and b.get("isn_clock") > a.get("isn_clock")
    # the old active hears of it and stays silent for ever
    bench.cut = False
    await ClockCycles(dut.clk, 2000)
    assert a.get("fenced") and not a.get("active") and not a.get("emit_enable") and not a.get("lease_valid")


async def _clocks_at_takeover(dut, first, second):
    """(ticks of the old active, ticks of the new one) when it takes over; first, second: what they count from."""
    bench = await Bench.start(dut, cut=True)
    a, b = bench.a, bench.b
    a.now, b.now = first, second
    bench.cut = False
    await ClockCycles(dut.clk, 3 * REGISTERS["hb_interval"])
    bench.cut = True
    while not b.get("active"):
        await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, 2)
    return a.now, b.now


def _ahead(new, old):
    """How many ticks `new` is ahead."""
    return (new - old + (1 << 31)) % (1 << 32) - (1 << 31)


@cocotb.test()
@cocotb.parametrize(start=[5000, (1 << 31) + 5000, (1 << 32) - 30])
async def ticks_do_not_go_back_at_takeover(dut, start):
    """Also if the standby never counted so far, and across the wrap."""
    old, new = await _clocks_at_takeover(dut, start, 0)
    assert 0 < _ahead(new, old) <= REGISTERS["tick_margin"] + 1, (old, new)


@cocotb.test()
async def refuses_frames_of_another_version(dut):
    bench = await _pair(dut)
    data = bytearray(encode(Frame(HEARTBEAT, 1, 0, kind=1, tick=1 << 20)))
    data[14] += 1
    before = bench.b.now
    bench.b.deliver(bytes(data))
    await ClockCycles(dut.clk, 100)
    assert bench.b.counts["bad_version"] == 1 and not bench.b.counts["bad_frame"] and bench.b.now - before < 10


@cocotb.test()
async def gated_output_waits_while_the_link_is_dead(dut):
    bench = await _pair(dut)
    bench.cut = True
    bench.record(0)
    bench.gate.record()
    bench.output(1, 1)
    bench.gate.command(8 << 32 | 3, True)
    bench.output(2, 0)
    bench.gate.command(8 << 32 | 4, False)
    await ClockCycles(dut.clk, 1000)
    assert not bench.gate.free and len(bench.gate.gated) == 1 and bench.a.get("level") == 1
    bench.cut = False
    await bench.settle()


@cocotb.test()
async def full_gate_drops_the_new_output_and_goes_on(dut):
    bench = await _pair(dut)
    bench.cut = True
    bench.record(0)
    bench.gate.record()
    for serial in range(40):
        bench.output(serial, 1)
        if serial < 32:
            bench.gate.command(8 << 32 | serial << 1 | 1, True)
    await ClockCycles(dut.clk, 800)
    assert bench.a.counts["gate_full"] == 8 and bench.a.get("level") == 32 == bench.a.get("high_water")
    bench.cut = False
    await bench.settle()


@cocotb.test()
async def ring_says_when_there_is_no_room(dut):
    bench = await _pair(dut)
    bench.cut = True
    for k in range(12):
        bench.record(k % 2)
        bench.gate.record()
    await ClockCycles(dut.clk, 500)
    assert bench.a.get("issued") == 8 and not bench.a.get("sync_ready") and not bench.a.command.empty()
    bench.cut = False
    await bench.settle()
    assert bench.a.get("sync_ready") and bench.b.get("applied") == 12


@cocotb.test()
async def runs_unprotected_only_with_policy_and_grant(dut):
    bench = await _pair(dut)
    a = bench.a
    bench.cut = True
    bench.b.set(takeover_after=0)
    bench.record(0)
    bench.gate.record()
    bench.output(1, 1)
    bench.gate.command(8 << 32 | 3, True)
    await ClockCycles(dut.clk, 3000)
    assert not a.get("emit_enable") and a.get("protect") and a.get("level") == 1
    a.set(policy=1)
    await ClockCycles(dut.clk, 500)
    assert not a.get("emit_enable")
    bench.gate.confirm(1)
    a.set(grant=1)
    await ClockCycles(dut.clk, 50)
    assert a.get("emit_enable") and a.get("unprotected") and not a.get("protect") and a.get("level") == 0 and a.get("confirmed") == 1
    # the standby has missed a record: its echo gives no lease
    bench.cut = False
    await ClockCycles(dut.clk, 2000)
    assert a.counts["unsynced_echo"] and a.get("unprotected") and not a.get("lease_valid")


@cocotb.test()
async def detector_forces_takeover(dut):
    bench = await _pair(dut)
    bench.cut = True
    bench.b.set(detector=1)
    await ClockCycles(dut.clk, 20)
    assert bench.b.get("active") and bench.b.get("epoch") == 2


@cocotb.test()
async def standby_that_heard_nothing_never_takes_over(dut):
    bench = await Bench.start(dut, cut=True)
    await ClockCycles(dut.clk, 6000)
    assert not bench.b.get("active") and not bench.a.get("emit_enable")


@cocotb.test()
async def malformed_commands_are_counted_and_do_not_hang(dut):
    bench = await _pair(dut)
    a = bench.a
    a.send(6, 1, [1, 2, 3])                     # delta too short
    a.send(6, 1, [0] * 5)                       # too long
    a.send(6, 1 | 3 << 16, [0] * 24)            # no such kind
    a.send(6, 1, [])                            # header alone
    a.send(9, 0, [1, 2])                        # nobody's message
    a.send(5, 1, [0] * 20)                      # output longer than any
    a.send(6, 1, [1, 2, 3, 4])
    bench.gate.record()
    await bench.settle()
    assert a.counts["bad_record"] == 4 and a.counts["bad_command"] == 1 and a.counts["too_long"] == 1
    assert a.get("issued") == 1 == bench.b.get("applied")


@cocotb.test()
async def heartbeats_carry_number_and_stamp(dut):
    bench = await _pair(dut)
    beats = [f for name, f in bench.frames if name == "a" and f.type == HEARTBEAT]
    echoes = [f for name, f in bench.frames if name == "b" and f.type == ECHO]
    assert len(beats) >= 3 and all(f.kind == 1 and f.number == 0 for f in beats)
    assert [f.stamp for f in echoes] == [f.stamp for f in beats][:len(echoes)] and len(echoes) >= 2
    assert all(y.stamp - x.stamp == REGISTERS["hb_interval"] for x, y in zip(beats, beats[1:]))
    assert not [f for _, f in bench.frames if f.type == STATE]
