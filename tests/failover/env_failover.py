"""Two failover units, and a link between them that loses, damages and repeats frames, beside the model."""
import os
import random
from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.failover import FailoverConfig, FailoverStatus, FailoverUnit
from spps.layouts.dma import FlowstateWord, FlowstateWrite
from spps.layouts.lookup import LookupCommand
from spps.layouts.message import MessageHeader, beat_layout
from spps.layouts.packet import packet_layout
from spps_sim.model.failover import (
    CONFIRM,
    ECHO,
    FULL,
    HANDOVER,
    TAG,
    Gate,
    Guard,
    Standby,
    decode,
    encode,
    refusal,
    siphash,
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
CONNECTIONS = 16        # of each unit
CONFIG, STATUS = FailoverConfig().members, FailoverStatus().members
REGISTERS = dict(hb_interval=300, lease=1500, takeover_after=2500, retransmit_after=500, isn_divider=9, isn_margin=1000,
                 tick_margin=5)
KEYS = tuple(random.Random(f"{SEED}key {slot}").randbytes(16) for slot in "ab")
SESSIONS = {"a": 7, "b": 4}
TICK = 40           # clocks; a frame takes about three
PACE = 20           # clocks


class _Unit:
    """Ports and counters of one unit."""

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
        self.writes = StreamSink(tb.dut, f"{name}__o_fs_write", clock, layout=FlowstateWrite, pause=pause,
                                 rng=seed).received
        self.lookups = StreamSink(tb.dut, f"{name}__o_lookup", clock, layout=LookupCommand, pause=pause,
                                  rng=seed).received
        self.counts = dict.fromkeys(FailoverUnit.COUNTERS, 0)
        self.kicks = 0
        self.now = 0
        self.set(now=0, in_use=0, quiet=1, exposed=0, sweeping=0, kicked=0, cfg=0, busy=0, scan_valid=0,
                 i_word__valid=0, i_word__payload=0, o_word__ready=1)
        self.flowstates = {}        # of connections in use: {number: {word: value}}
        cocotb.start_soon(self._memory())
        cocotb.start_soon(self._count())
        cocotb.start_soon(self._tick())

    def get(self, name):
        """Value of an output or of a word of status."""
        group = "status__" if name in STATUS else ""
        return int(getattr(self.dut, f"{self.name}__{group}{name}").value)

    def set(self, **values):
        """Set inputs and words of configuration."""
        for name, value in values.items():
            group = "config__" if name in CONFIG else ""
            getattr(self.dut, f"{self.name}__{group}{name}").value = value

    async def _count(self):
        while True:
            await RisingEdge(self.dut.clk)
            kick = getattr(self.dut, f"{self.name}__kick").value
            self.kicks += kick.is_resolvable and int(kick)
            bits = getattr(self.dut, f"{self.name}__count").value
            if bits.is_resolvable and int(bits):
                for k, name in enumerate(FailoverUnit.COUNTERS):
                    self.counts[name] += int(bits) >> k & 1

    async def _memory(self):
        """The bits of the lookup and the words of flowstate memory that a switch-over looks at."""
        while True:
            await RisingEdge(self.dut.clk)
            conn, asks = (getattr(self.dut, f"{self.name}__{name}").value for name in ("scan_conn", "o_word__valid"))
            place = getattr(self.dut, f"{self.name}__o_word__payload").value
            value = 0
            if asks.is_resolvable and int(asks):
                asked = unpack(FlowstateWord, int(place))
                value = self.flowstates.get(asked["conn"], {}).get(asked["word"], 0)
            self.set(scan_valid=int(conn.is_resolvable and int(conn) in self.flowstates),
                     i_word__valid=int(asks.is_resolvable and int(asks)), i_word__payload=value)

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
        """Put a frame into i_sync."""
        step = WIDTH // 8
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            last = at + step >= len(data)
            self.link.send({"data": int.from_bytes(piece.ljust(step, b"\0"), "big"), "empty": step - len(piece),
                            "last": last, "err": int(err and last)})

    def load_key(self, slot, key):
        """Write a key into a slot, 0 or 1."""
        self.set(**{f"sync_key_{'ab'[slot]}{word}": int.from_bytes(key[4 * word:4 * word + 4], "little")
                    for word in range(4)})

    def send(self, kind, argument, body):
        """Put a message into i_cmd."""
        header = pack(MessageHeader, {"kind": kind, "length": len(body), "argument": argument})
        for k, beat in enumerate([header, *body]):
            self.command.send({"data": beat, "last": int(k == len(body))})


class Env:
    """Unit a, active, and unit b, standby; what a emits and what b applies is compared with the model as it happens."""

    @classmethod
    async def start(cls, dut, *, idle=0.0, pause=0.0, loss=0.0, cut=False, keys=KEYS[:1]):
        """Start after a reset.

        idle, pause: share of clocks without valid, without ready. loss: share of frames lost or damaged. cut: no link.
        keys: of the slots of both units.
        """
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        # drivers begin while reset holds, so they see nothing of the test before
        env = cls(dut, idle, pause, loss, keys)
        env.cut = cut
        await reset(dut)
        await ClockCycles(dut.clk, 1000)
        if not cut:
            await env.joined()
        return env

    def __init__(self, dut, idle, pause, loss, keys):
        self.dut, self.loss, self.rng = dut, loss, random.Random(SEED)
        dut.reset_a.value = dut.reset_b.value = 0
        self.cut = False            # or the unit whose frames do not arrive
        self.delay = 0              # clocks that a frame is under way, beyond its words
        self.keys = [*keys, *[bytes(16)] * 2][:2]
        guards = [Guard(n, self.keys, session=SESSIONS["ab"[n]]) for n in (0, 1)]
        self.gate, self.standby, self.guard = Gate(), Standby(guard=guards[1]), guards[0]
        self.frames, self.carried = [], {"a": [], "b": []}      # as sent; as bytes on the link
        self.serial = {name: session << 32 for name, session in SESSIONS.items()}       # of the last frame
        self.added = {"a": 0, "b": 0}                           # frames of this bench in the name of a unit
        self.full = []              # flow ids of the full records sent to a
        self.a, self.b = _Unit(self, "a", idle=idle, pause=pause), _Unit(self, "b", idle=idle, pause=pause)
        for unit, role in ((self.a, 1), (self.b, 0)):
            unit.set(role_init=role, role_load=0, policy=0, grant=0, egress_disable=0, detector=0, unit=1 - role,
                     auto_join=1, rejoin=0, resync_pace=PACE, sync_session=SESSIONS[unit.name], sync_send=0,
                     sync_accept=1, switch=0, switch_patience=3000, switch_force=0, **REGISTERS)
            for slot, key in enumerate(self.keys):
                unit.load_key(slot, key)
        dut._log.info("seed %d", SEED)

    async def joined(self, limit=20000):
        """Wait until b is a member and has confirmed END, the first record; AssertionError after `limit` clocks."""
        for _ in range(limit // 50):
            if self.a.get("joined") and self.b.get("joined") and not self.a.get("resync"):
                break
            await ClockCycles(self.dut.clk, 50)
        else:
            raise AssertionError(f"not joined: {self.a.counts} {self.b.counts}")
        while self.gate.issued != self.a.get("issued"):
            self.gate.record()
        self.gate.confirm(self.gate.issued)

    def left(self, unit, header):
        """An output leaves `unit`."""
        assert unit is self.a
        self.gate.leave(header["length"] << 32 | header["argument"], header["argument"] & 1)

    def carry(self, unit, data):
        """Hand a frame of `unit` over, or not, or damaged, or twice."""
        frame = decode(data)
        assert frame, f"{unit.name} sent a frame that the model refuses: {data.hex()}"
        assert frame.unit == (unit is self.b)
        assert siphash(data[:-TAG], self.keys[frame.slot]) == data[-TAG:], f"{unit.name} sent a wrong tag"
        assert frame.serial > self.serial[unit.name], f"{unit.name} sent serial {frame.serial:#x} again"
        if frame.type == HANDOVER:
            assert not unit.get("emit_enable"), f"{unit.name} hands over and may still emit"
            assert frame.number == unit.get("confirmed"), f"{unit.name} hands over before its last record is confirmed"
        self.serial[unit.name] = frame.serial
        self.frames.append((unit.name, frame))
        if self.added[unit.name]:
            frame = replace(frame, serial=frame.serial + self.added[unit.name])
            data = encode(frame, self.keys[frame.slot])
        if self.delay:
            cocotb.start_soon(self._later(unit, data))
        else:
            self._arrive(unit, data)

    async def _later(self, unit, data):
        await ClockCycles(self.dut.clk, self.delay)
        self._arrive(unit, data)

    def _arrive(self, unit, data):
        peer = self.b if unit is self.a else self.a
        if self.cut is True or self.cut is unit:
            return
        fate = self.rng.random()
        if fate < self.loss / 2:
            return
        err = False
        if fate < self.loss:
            data, err = self.damage(data, self.carried[unit.name], self.carried[peer.name])
        else:
            self.carried[unit.name].append(data)
        for _ in range(2 if self.rng.random() < self.loss / 4 else 1):
            peer.deliver(data, err)
            if peer is self.b:
                self.standby.take(data, CONNECTIONS, err)
            else:
                # what the active may believe from now on; it is still on its way in, so this is never too strict
                answer = decode(data)
                if refusal(data, err, self.guard, active=True) is None and answer and answer.type in (CONFIRM, ECHO):
                    self.gate.confirm(answer.number)

    async def power_up(self, unit, session):
        """Reset one unit; its registers are as before, but the session."""
        unit.set(sync_session=session)
        self.serial[unit.name], self.added[unit.name] = 0, 0
        reset = getattr(self.dut, f"reset_{unit.name}")
        reset.value = 1
        await ClockCycles(self.dut.clk, 4)
        unit.frame, unit.message = b"", []
        reset.value = 0

    def forge(self, to, frame, key=None, **fields):
        """Give a unit a frame that its peer might have sent next. key: of the tag. fields: other ones of the frame."""
        sender = self.b if to is self.a else self.a
        self.added[sender.name] += 1
        frame = replace(frame, **{"serial": self.serial[sender.name] + self.added[sender.name],
                                  "heard": self.serial[to.name] >> 32, "unit": int(sender is self.b), **fields})
        to.deliver(encode(frame, self.keys[frame.slot] if key is None else key))

    def damage(self, data, before, reverse):
        """(frame, err) that must not be taken. before, reverse: frames of this direction and the other one."""
        way = self.rng.randrange(8)
        if way == 5:
            place = self.rng.randrange(len(data))
            return data[:place] + bytes((data[place] ^ 1 << self.rng.randrange(8),)) + data[place + 1:], False
        if way == 6 and before:
            return self.rng.choice(before), False
        if way > 5:
            return self.rng.choice(reverse) if reverse else data[:8], False
        if way == 0:
            return data, True
        if way == 1:
            return data[:8 * self.rng.randrange(1, len(data) // 8)][:-8] or data[:8], False
        if way == 2:
            return data + bytes(8 * self.rng.randrange(1, 30)), False
        place = (12, 14)[way - 3]
        return data[:place] + bytes((data[place] ^ 1 << self.rng.randrange(8),)) + data[place + 1:], False

    def record(self, kind, *, legs=2):
        """Send a SYNC message of this kind to the active."""
        rng = self.rng
        body = [rng.getrandbits(64) for _ in range(24 if kind else 4)]
        if kind and legs == 1:
            body[17] &= 0xFFFFFFFF      # leg 1: remote_ip 0
        conn = rng.randrange(CONNECTIONS)
        if kind == FULL:
            self.full.append(conn)
        self.a.send(6, conn | kind << 16, body)

    def output(self, serial, gated):
        """Send an OUTPUT message to the active."""
        self.a.send(5, serial << 1 | gated, [self.rng.getrandbits(64) for _ in range(8)])

    async def settle(self, limit=60000):
        """Wait until every record is confirmed and every output has left; AssertionError after `limit` clocks."""
        for _ in range(limit // 50):
            await ClockCycles(self.dut.clk, 50)
            if (self.a.command.empty() and not self.gate.gated and not self.gate.free
                and self.a.get("issued") == self.a.get("confirmed")
                    and self.a.link.empty() and self.b.link.empty() and self.a.get("level") == 0):
                await ClockCycles(self.dut.clk, 200)
                return
        raise AssertionError(f"not settled: gated {len(self.gate.gated)} free {len(self.gate.free)} {self.a.counts}")
