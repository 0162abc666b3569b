"""Plays the lookup controller and the director around the timer unit."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.layouts.director import TimerAnswer, TimerSet
from spps.layouts.event import Event
from spps.lookup import TimerUnit
from spps_sim.model.lookup import TimerModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSource, pack, reset, start_clock, unpack
from spps_sim.testbench.runner import default_seed

CONNECTIONS = int(os.environ["SPPS_P_CONNECTIONS"])
TIMER, DEADLINE, KICK = 7, 0, 1
WALK = 8 * CONNECTIONS      # most clocks of the walk of a kick and the one before it, when sets are rare


class Env:
    """Knows which ids are in use and which flows are busy.

    idle: of the sets. pause: chance in each clock that an offer is not taken. way: most clocks from an offer to its
    answer. In every clock `quiet` and `kicked` are compared with what is due, on offer and answered.
    """

    def __init__(self, dut, idle, pause, start, way=1):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10) + 7 * way
        self.dut, self.rng, self.pause, self.way = dut, random.Random(seed), pause, way
        self.sets = StreamSource(dut, "i_set", dut.clk, layout=TimerSet, idle=idle, rng=random.Random(seed + 1))
        self.counters = CounterMonitor(dut, dut.clk, TimerUnit.COUNTERS)
        self.model = TimerModel(CONNECTIONS)
        self.busy, self.used = set(), set()
        self.now = start
        self.fired, self.kicked, self.refused = [], [], 0
        self.kick_ready = lambda: 1     # asked in each clock
        self.clock, self.kick_clocks = 0, []    # the latter: in which `kicked` was 1
        self.idle_since = self.quiet_clocks = 0
        self.tick = 40
        self.scan = 0
        # the event that was taken last and has no answer yet, was it accepted, clocks to its answer
        self.asked = None
        dut.now.value, dut.kick.value, dut.scan_valid.value = start, 0, 0
        dut.kick_ready.value, dut.hold.value = 1, 0
        dut.o_timer__ready.value = dut.i_answer__valid.value = 0

    async def run(self):
        dut, shown, may_kick, kick = self.dut, None, 0, 0
        while True:
            await RisingEdge(dut.clk)
            self.clock = clock = self.clock + 1
            dut.kick_ready.value = self.kick_ready()
            if clock % self.tick == 0:
                self.now = (self.now + 1) % 2**32
                dut.now.value = self.now
            # like the director, takes an offer only some time after it has seen it
            ready = shown is not None and self.rng.random() >= self.pause
            dut.o_timer__ready.value = int(ready)
            answering = self.asked and self.asked[2] <= 0
            dut.i_answer__valid.value = int(bool(answering))
            if answering:
                dut.i_answer__payload.value = pack(TimerAnswer,
                                                   {"conn": self.asked[0]["conn"], "taken": int(self.asked[1])})
            dut.scan_valid.value = int(self.scan in self.used) if clock > 1 else 0
            await ReadOnly()
            self.scan = int(dut.scan_conn.value)
            self.check_quiet(kick)
            kick = int(dut.kick.value)
            if int(dut.i_set__valid.value) and int(dut.i_set__ready.value):
                s = unpack(TimerSet, int(dut.i_set__payload.value))
                self.model.set(s["conn"], s["deadline"])
                offer = shown or (self.asked and self.asked[0])
                if offer and offer["conn"] == s["conn"]:
                    self.renewed = True
            if self.asked:
                self.asked[2] -= 1
                assert not int(dut.o_timer__valid.value), "an offer before the answer to the one before"
            answered = answering and int(dut.i_answer__ready.value)
            kicked = bool(answered and self.asked[1] and self.asked[0]["subtype"] == KICK)
            assert int(dut.kicked.value) == kicked, "kicked is not for the KICK events that are taken"
            if kicked:
                self.kick_clocks.append(clock)
            if answered:
                self.answered(*self.asked[:2])
                self.asked = None
            if int(dut.o_timer__valid.value):
                event = unpack(Event, int(dut.o_timer__payload.value))
                if shown is None:
                    shown, self.renewed = event, False
                    assert may_kick or event["subtype"] != KICK, "a KICK while none may be offered"
                    assert event["kind"] == TIMER and not any(
                        v for k, v in event.items() if k not in ("kind", "subtype", "conn", "seq"))
                    # a set of the clock before the event shows may already have replaced the deadline
                    due = event["conn"] in self.model.kick if event["subtype"] == KICK else \
                        self.model.late(event["conn"], event["seq"])
                    assert due, f"{event} is not due"
                assert event == shown, "the offer changed"
                if ready:
                    accepted = event["conn"] not in self.busy
                    self.asked = [event, accepted, self.rng.randrange(self.way)]
                    self.model.offered(event["conn"], event["subtype"] == KICK, accepted)
                    shown = None
            may_kick = int(dut.kick_ready.value)

    def check_quiet(self, after_kick):
        """`quiet` is 0 while something is due or under way, and 1 when a walk can have ended since."""
        quiet = int(self.dut.quiet.value)
        if after_kick or self.model.kick or self.asked or int(self.dut.o_timer__valid.value):
            assert not quiet, "quiet, but something is due or under way"
            self.idle_since = self.clock
        elif self.clock - self.idle_since > WALK:
            assert quiet, "not quiet, but nothing is due"
        self.quiet_clocks += quiet

    def answered(self, event, accepted):
        conn = event["conn"]
        if not accepted:
            self.refused += 1
        elif event["subtype"] == KICK:
            self.kicked.append(conn)
        else:
            self.fired.append((conn, event["seq"]))
            if not self.renewed:
                del self.model.deadline[conn]

    async def kick(self):
        self.dut.kick.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.kick.value = 0
        self.model.kick |= self.used

    def at_rest(self):
        """No kick is due or has no answer yet, so that a further one makes a further event of each connection."""
        return not self.model.kick and not (self.asked and self.asked[0]["subtype"] == KICK)

    def pace(self, clocks):
        """Lets one KICK be taken in so many clocks."""
        def ready():
            return int(not self.kick_clocks or self.clock - self.kick_clocks[-1] >= clocks)
        self.kick_ready = ready

    async def finish(self):
        self.busy.clear()
        self.kick_ready = lambda: 1
        for _ in range(200000):
            await RisingEdge(self.dut.clk)
            if (self.sets.empty() and not self.model.deadline and not self.model.kick and not self.asked
                    and not int(self.dut.o_timer__valid.value)):
                break
        await ClockCycles(self.dut.clk, WALK + 30)
        assert int(self.dut.quiet.value) and self.quiet_clocks
        assert not self.model.deadline and not self.model.kick and int(self.dut.armed.value) == 0
        assert dict(self.counters.total) == {"fired": len(self.fired), "kicked": len(self.kicked),
                                             "refused": self.refused, "bad_conn": self.model.count["bad_conn"]}
        self.dut._log.info("seed %d: %s", default_seed(), dict(self.counters.total))


async def start(dut, idle=0.0, pause=0.0, now=2**32 - 60, way=1):
    start_clock(dut)
    env = Env(dut, idle, pause, now, way)
    await reset(dut)
    cocotb.start_soon(env.run())
    return env
