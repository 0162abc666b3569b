"""The ACK gate, for every schedule of 16 clocks: no output leaves early, out of order or changed (patent §X.B).

The solver chooses one message when it enters, and the proof follows it. Slots and record numbers are smaller than in an
SPPS, the logic is the same; the numbers wrap around within the 16 clocks. Three mutations show that the proof can fail.
"""

import pytest
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal

from spps.failover.gate_fifo import GateFifo
from tests.formal.prover import rtlil_of, verdict

DEPTH, SLOT, WIDTH, TAG = 2, 4, 2, 3
STEPS = 16


class EarlyGate(GateFifo):
    """Mutation: compares with one more than is confirmed."""

    def _read(self, m, beats, tags):
        confirmed, self.confirmed = self.confirmed, self.confirmed + 1
        super()._read(m, beats, tags)
        self.confirmed = confirmed


class OverflowingGate(GateFifo):
    """Mutation: takes one message more than it has slots."""

    def _write(self, m, beats, tags):
        self.depth += 1
        super()._write(m, beats, tags)
        self.depth -= 1


class LateTagGate(GateFifo):
    """Mutation: takes the tag of the clock before, which misses a record issued just then."""

    def _write(self, m, beats, tags):
        tag, self.tag = self.tag, Signal.like(self.tag)
        m.d.sync += self.tag.eq(tag)
        super()._write(m, beats, tags)
        self.tag = tag


class Contract(Elaboratable):
    """A gate in an environment that the solver chooses: messages, records, confirmations of issued records."""

    def __init__(self, gate):
        self.gate = gate
        self.valid, self.last, self.pick, self.ready, self.flush = (
            Signal(name=n) for n in ("valid", "last", "pick", "ready", "flush"))
        self.payload = Signal(WIDTH)
        self.issue, self.confirm = Signal(), Signal()
        self.ports = [self.valid, self.last, self.pick, self.ready, self.flush, self.payload, self.issue, self.confirm]

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = self.gate
        issued, confirmed = Signal(TAG), Signal(TAG)
        gap = Signal(TAG)
        m.d.comb += [
            gate.i.valid.eq(self.valid), gate.i.payload.data.eq(self.payload), gate.i.payload.last.eq(self.last),
            gate.tag.eq(issued), gate.confirmed.eq(confirmed), gate.o.ready.eq(self.ready), gate.flush.eq(self.flush),
            gap.eq(issued - confirmed),
        ]
        # the replay ring keeps the number of unconfirmed records below half the number space
        m.d.comb += [Assume(~self.issue | (gap < (1 << TAG - 1) - 2)), Assume(~self.confirm | (gap != 0))]
        m.d.sync += [issued.eq(issued + self.issue), confirmed.eq(confirmed + self.confirm)]

        # input: the message chosen, and how many records must still be confirmed before it may leave
        first, index = Signal(init=1), Signal(range(SLOT + 1))
        watching, chosen, whole = Signal(), Signal(), Signal()
        stored = [Signal(WIDTH + 1, name=f"stored_{k}") for k in range(SLOT)]
        due = Signal(TAG)
        m.d.comb += [
            chosen.eq(self.valid & first & self.pick & ~watching & (gate.level != DEPTH)),
            Assume(~self.valid | self.last | (index < SLOT - 1)), Assume(~self.flush),
        ]
        with m.If(self.valid):
            m.d.sync += [first.eq(self.last), index.eq(Mux(self.last, 0, index + 1))]
            with m.If(chosen | watching & ~whole):
                for k in range(SLOT):
                    with m.If(index == k):
                        m.d.sync += stored[k].eq(gate.i.payload.as_value())
                m.d.sync += whole.eq(self.last)
        with m.If(chosen):
            m.d.sync += [watching.eq(1), due.eq(gap - self.confirm)]
        with m.Elif(watching & self.confirm & (due != 0)):
            m.d.sync += due.eq(due - 1)

        # output: messages still before the chosen one, and the beat that shows. A message counts in `level` until its
        # last beat enters the output register.
        before, beat = Signal(range(DEPTH + 3)), Signal(range(SLOT + 1))
        ended, showing, done = Signal(), Signal(), Signal()
        out = gate.o.payload
        m.d.comb += [ended.eq(gate.o.valid & gate.o.ready & out.last),
                     showing.eq(watching & ~done & (before == 0) & gate.o.valid)]
        with m.If(gate.o.valid & gate.o.ready):
            m.d.sync += beat.eq(Mux(out.last, 0, beat + 1))
        with m.If(chosen):
            m.d.sync += before.eq(gate.level + (gate.o.valid & out.last) - ended)
        with m.Elif(watching & ended & (before != 0)):
            m.d.sync += before.eq(before - 1)
        with m.If(showing):
            m.d.comb += [Assert(due == 0), Assert(whole)]
            for k in range(SLOT):
                with m.If(beat == k):
                    m.d.comb += Assert(out.as_value() == stored[k])
            with m.If(ended):
                m.d.sync += done.eq(1)
        m.d.comb += Cover(done)
        return m


def prove(gate, tmp_path, mode):
    return verdict(rtlil_of(Contract(gate)), tmp_path, mode, STEPS)


def make(kind):
    return kind(depth=DEPTH, slot=SLOT, width=WIDTH, tag_width=TAG)


@pytest.mark.slow
def test_no_output_leaves_before_its_record_is_confirmed(tmp_path):
    assert prove(make(GateFifo), tmp_path, "bmc") == "PASS"


@pytest.mark.slow
def test_watched_message_does_leave(tmp_path):
    assert prove(make(GateFifo), tmp_path, "cover") == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("mutation", (EarlyGate, OverflowingGate, LateTagGate))
def test_a_broken_gate_is_found(tmp_path, mutation):
    assert prove(make(mutation), tmp_path, "bmc") == "FAIL"
