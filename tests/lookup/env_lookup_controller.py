"""Drivers, monitors and model around the lookup controller."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.layouts.event import Event
from spps.layouts.lookup import SYN_FIELDS, LookupCommand, Replay, Syn
from spps.lookup import LookupController
from spps_sim.model.lookup import LookupModel, flow_key
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, pack, reset, start_clock, unpack
from spps_sim.testbench.runner import default_seed

CONNECTIONS = int(os.environ["SPPS_P_CONNECTIONS"])
INSERT, DELETE, FREE, ESTABLISHED, PURGE, NOTE, TIME_WAIT, COVERED = range(8)
TIMER, RECYCLE = 7, 2
OUTCOMES = ("hits", "created", "noflow", "standby_drop", "refused", "icmp_noflow", "parked")
PROTOCOL = 6
SETTLED = 3         # clocks from a mark until the counts have it


class Env:
    """Sources of events and commands, the model, and what it expects to come out."""

    def __init__(self, dut, idle, pause):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng = dut, random.Random(seed)

        def rng():
            return random.Random(self.rng.random())

        self.events = StreamSource(dut, "i_event", dut.clk, layout=Event, idle=idle, rng=rng())
        self.commands = StreamSource(dut, "i_cmd", dut.clk, layout=LookupCommand, idle=0.97 if idle else 0.9, rng=rng())
        self.replays = StreamSource(dut, "i_replay", dut.clk, layout=Replay, idle=0.99, rng=rng())
        self.out = StreamSink(dut, "o_event", dut.clk, layout=Event, pause=pause, rng=rng())
        self.dropped = StreamSink(dut, "o_drop", dut.clk, pause=pause, rng=rng())
        self.counters = CounterMonitor(dut, dut.clk, LookupController.COUNTERS)
        secret = self.rng.getrandbits(64)
        dut.secret.value, dut.active.value, dut.scan_conn.value, dut.half_open_limit.value = secret, 1, 0, 0
        dut.silent.value = dut.uncover.value = 0
        self.model = LookupModel(CONNECTIONS, secret)
        self.model.active = 1
        self.inside = None              # the event that is looked up
        self.pending = None             # what the model said of it
        self.covers = None              # the command COVERED that is carried out
        self.pulses = self.judged = 0   # of `uncover`; clocks in which the counts were compared
        self.drops = []
        self.taken_events = self.taken_commands = 0
        self.flows = [(self.rng.getrandbits(32), self.rng.getrandbits(32), self.rng.getrandbits(16),
                       self.rng.getrandbits(16), self.rng.randrange(3)) for _ in range(3 * CONNECTIONS)]
        # keys that differ in one bit from another: only a full comparison tells them apart
        for flow in self.flows[:CONNECTIONS]:
            field = self.rng.randrange(4)
            self.flows.append(tuple(v ^ 1 if i == field else v for i, v in enumerate(flow)))

    async def watch(self):
        """Steps the model in the order in which the block takes commands and, as its counts show, decides on events."""
        dut, shown, names = self.dut, False, list(LookupController.COUNTERS)
        uncovers, free = False, 0       # `uncover` in the clock before; clocks without a command or event in hand
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            # A command or event that marks is done in the clock after its mark. What was marked in the clock of
            # `uncover` is swept as well.
            free = free + 1 if int(dut.i_cmd__ready.value) else 0
            if free and self.covers:
                self.model.command(*self.covers)
                self.covers = None
            if uncovers:
                self.model.uncover()
                assert int(dut.sweeping.value), "uncover without a sweep"
            uncovers = bool(int(dut.uncover.value))
            self.pulses += uncovers
            pulses = int(dut.count.value)
            counted = {name for bit, name in enumerate(names) if pulses >> bit & 1} if pulses else ()
            if "retried" in counted:
                assert self.inside is None, "the event before has not come out"
                syn = self.model.retry()
                self.inside = {name: 0 for name, _ in Event.as_shape()} | syn | {"kind": 1, "protocol": PROTOCOL}
            for _ in {*OUTCOMES} & {*counted}:
                self.decided()
            valid = int(dut.o_event__valid.value)
            if valid and not shown:
                assert self.pending, "an event nobody sent"
                self.check(unpack(Event, int(dut.o_event__payload.value)))
            shown = valid and not int(dut.o_event__ready.value)
            if free >= SETTLED and not int(dut.sweeping.value):
                self.compare_counts()
            if int(dut.i_cmd__valid.value) and int(dut.i_cmd__ready.value):
                c = unpack(LookupCommand, int(dut.i_cmd__payload.value))
                what = c["op"], c["conn"], c["leg"], c["key"], c["half_open"]
                if c["op"] == COVERED:
                    self.covers = what
                else:
                    self.model.command(*what)
                self.taken_commands += 1
            if int(dut.i_event__valid.value) and int(dut.i_event__ready.value):
                assert self.pending is None and self.inside is None, "the event before has not come out"
                self.inside = unpack(Event, int(dut.i_event__payload.value)) | {"again": 0}
                self.taken_events += 1
            if int(dut.i_replay__valid.value):
                self.model.replay(unpack(Syn, unpack(Replay, int(dut.i_replay__payload.value))["syn"]))

    def compare_counts(self):
        dut, model = self.dut, self.model
        counts = tuple(int(count.value) for count in (dut.in_use, dut.half_open, dut.exposed))
        assert counts == (len(model.used), len(model.half_open), model.exposed()), "in use, half-open, exposed"
        self.judged += 1

    def decided(self):
        """The block has decided on the event inside."""
        e, self.inside = self.inside, None
        verdict, *what = self.model.event(e)
        drop = what[-1] if verdict in ("drop", "recycle") else None
        if drop is not None:
            self.drops.append(drop)
        if verdict == "recycle":
            self.pending = {name: 0 for name in e}, "out", {"kind": TIMER, "subtype": RECYCLE, "conn": what[0]}
        elif verdict != "drop":
            self.pending = e, verdict, what[0]
        if verdict in ("drop", "recycle") and self.model.waiting and self.model.waiting[-1] is e:
            self.model.waiting[-1] = {name: e[name] for name in (*SYN_FIELDS, "again")}

    def check(self, got):
        sent, verdict, changes = self.pending
        self.pending = None
        if verdict == "new":
            self.model.created(got["conn"])
            changes = {**changes, "conn": got["conn"]}
        assert got == {**sent, **changes}

    def event(self, flow=None, **fields):
        rng = self.rng
        flow = flow or rng.choice(self.flows)
        e = {name: rng.getrandbits(shape.width) for name, shape in Event.as_shape()}
        e |= dict(zip(("src_ip", "dst_ip", "src_port", "dst_port", "iface"), flow))
        e |= {"protocol": PROTOCOL, "kind": 1 if rng.random() < 0.85 else rng.choice((2, 3, 3, 3, 4, 5, 6, 0, 77)),
              "tcp_flags": rng.choice((2, 2, 2, 16, 24, 18, 6, 4, 0xC2)), "payload_len": rng.choice((0, 100))}
        self.events.send({**e, **fields})

    def command(self, op, conn, leg=0, flow=None, half_open=0):
        key = flow_key(*flow) if flow else self.rng.getrandbits(116)
        self.commands.send({"op": op, "conn": conn, "leg": leg, "half_open": half_open, "key": key})

    def replay(self, flow, wait=0, **fields):
        syn = {name: self.rng.getrandbits(field.width) for name, field in Syn}
        syn |= dict(zip(("src_ip", "dst_ip", "src_port", "dst_port", "iface"), flow))
        self.replays.send({"syn": pack(Syn, syn | {"tcp_flags": 2, "again": 1} | fields), "wait": wait})

    async def uncover(self, clocks=1):
        """A pulse; from a coroutine that has just seen a rising edge."""
        self.dut.uncover.value = 1
        await ClockCycles(self.dut.clk, clocks)
        self.dut.uncover.value = 0

    async def taken(self, op):
        """The clock after the one in which a command of this kind is taken."""
        while True:
            await ReadOnly()
            command = unpack(LookupCommand, int(self.dut.i_cmd__payload.value))
            ready = int(self.dut.i_cmd__valid.value) and int(self.dut.i_cmd__ready.value)
            await RisingEdge(self.dut.clk)
            if ready and command["op"] == op:
                return

    async def swept(self):
        """Clocks until no sweep is under way."""
        for clocks in range(4 * CONNECTIONS + 20):
            await ReadOnly()
            sweeping = int(self.dut.sweeping.value)
            await RisingEdge(self.dut.clk)
            if not sweeping:
                return clocks
        raise AssertionError("the sweep does not end")

    async def drain(self, limit=200000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.events.empty() and self.commands.empty() and self.replays.empty():
                break
        await ClockCycles(self.dut.clk, 300)
        total, model = self.counters.total, self.model
        assert self.pending is None and self.inside is None and not int(self.dut.o_event__valid.value)
        assert list(self.dropped.received) == self.drops
        assert {name: total[name] for name in total if name != "quick_hits"} == \
            {name: model.count[name] for name in total if name != "quick_hits"}
        assert self.taken_events + total["retried"] == sum(total[name] for name in OUTCOMES)
        assert self.taken_events == self.events.sent and self.taken_commands == self.commands.sent
        assert self.judged and not self.covers and not int(self.dut.sweeping.value)
        self.compare_counts()
        self.dut._log.info("seed %d: %s", default_seed(), dict(total))

    async def scan(self):
        """The ids that the timer unit would see as in use."""
        seen = set()
        for conn in range(CONNECTIONS):
            self.dut.scan_conn.value = conn
            await ClockCycles(self.dut.clk, 2)
            await ReadOnly()
            if int(self.dut.scan_valid.value):
                seen.add(conn)
            await RisingEdge(self.dut.clk)
        return seen


async def start(dut, idle=0.0, pause=0.0):
    start_clock(dut)
    env = Env(dut, idle, pause)
    await reset(dut)
    cocotb.start_soon(env.watch())
    return env


async def fill(env):
    """Every id in use; the ids in the order of `flows`."""
    made = []
    for flow in env.flows:
        if len(env.model.used) < CONNECTIONS:
            env.event(flow, kind=1, tcp_flags=2)
            await env.drain()
            if (entry := env.model.find(flow_key(*flow))) is not None:
                made.append((flow, entry[1]))
    assert len(made) == CONNECTIONS
    return made


def strangers(env):
    """Flows without a connection."""
    return [flow for flow in env.flows if env.model.find(flow_key(*flow)) is None]
