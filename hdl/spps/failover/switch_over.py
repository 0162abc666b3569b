"""The active's side of a planned switch-over."""
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateWord
from ..lib import Counters
from .payload_scan import PayloadScan
from .signature import FailoverConfig, SwitchState, SwitchVerdict

__all__ = ["SwitchOver", "hold_limit", "settle_clocks"]

MUTE_CLOCKS = 4     # until a frame that began in the clock before MUTE shows as activity


def settle_clocks(params):
    """Clocks without activity after which the unit is empty: the longest frame, and what moves without a sign of it."""
    return params.max_frame // params.data_bytes + 256


def hold_limit(params):
    """Clocks that frames from outside are held at most before HANDOVER."""
    return 32 * settle_clocks(params) + 32 * params.connections


class SwitchOver(wiring.Component):
    """Active: stops the sources, lets what it holds leave, runs empty, and hands its role over in one frame.

    DRAIN: right edges stand still, so that sources stop at the edge they were told; until every connection was seen
    with nothing unacknowledged, or `switch_patience` is over. HOLD: frames from outside wait, first in front of the
    unit (`steer`), after a fourth of the limit also in front of its scratchpad (`close`), while the unit runs empty;
    then all bytes must be acknowledged, or it drains again; after `switch_patience` all must have been sent once, or
    it gives up. MUTE: nothing is emitted any more; the last frame leaves. YIELDED: the lease is given up, HANDOVER is
    sent, and again every `retransmit_after`, until the epoch of the other unit is heard, at most for the length of a
    lease.

    Parameters
    ----------
    params : SppsParams
        Sizes.

    Members
    -------
    config : In(FailoverConfig)
        `switch`, `switch_patience`, `switch_force`, `lease`, `retransmit_after`.
    active, protected, joined : In(1)
        Of this unit: role; a standby confirms every record of every connection, and the lease is valid; a standby takes
        records.
    settled : In(1)
        Every record is confirmed.
    busy : In(1)
        Something is under way in the unit, from a frame that comes in to one that leaves.
    draining, steer, close : Out(1)
        Right edges stand still; frames from outside are to wait, and so are deadlines; frames that came all the same
        wait in the unit.
    mute, yielded : Out(1)
        Nothing is emitted; the lease has been given up as well, and echoes give none.
    handover, clean : Out(1), Out(1)
        One clock: HANDOVER is to be sent; with it and later: nothing is held that is not acknowledged.
    conn, valid, o_word, i_word
        See `PayloadScan`.
    scanning : Out(1)
        `conn` is in use.
    state, verdict : Out(3), Out(3)
        See `SwitchState`, `SwitchVerdict`.
    clocks, hold_clocks : Out(32), clocks
        From `switch` to the first HANDOVER of the last switch-over, and how long frames from outside had to wait in it.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    An empty unit without connections sends HANDOVER `settle_clocks` and 3 clocks per connection that it could hold
    after `switch`.

    Drop
    ----
    None.

    Reset
    -----
    Idle.

    Source
    ------
    hdl/spps/failover/README.md, "Planned switch-over".
    """

    COUNTERS = Counters({
        "switched": "switch-overs: the other unit has taken the active role that this one handed over",
        "switch_refused": "requests to switch over refused because connections were not protected",
        "switch_unsent": "switch-overs given up because bytes waited that had never been sent",
        "switch_forced": "switch-overs that left bytes behind that had never been sent: their sources send them again",
        "switch_broken": "switch-overs broken off because the standby or the lease was lost",
        "switch_busy": "switch-overs given up because the unit did not run empty",
        "switch_unanswered": "switch-overs whose HANDOVER the other unit did not take",
    })

    def __init__(self, params):
        self.params = params
        super().__init__({
            "config": In(FailoverConfig()),
            "active": In(1), "protected": In(1), "joined": In(1), "settled": In(1), "busy": In(1),
            "draining": Out(1), "steer": Out(1), "close": Out(1), "mute": Out(1), "yielded": Out(1),
            "handover": Out(1), "clean": Out(1), "conn": Out(16), "valid": In(1), "scanning": Out(1),
            "o_word": Out(stream.Signature(FlowstateWord)),
            "i_word": In(stream.Signature(unsigned(32), always_ready=True)),
            "state": Out(3), "verdict": Out(3), "clocks": Out(32), "hold_clocks": Out(32),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        config, state = self.config, self.state
        settle, limit = settle_clocks(self.params), hold_limit(self.params)
        m = Module()
        m.submodules.scan = scan = PayloadScan(self.params.connections)
        wiring.connect(m, scan.o_word, wiring.flipped(self.o_word))
        wiring.connect(m, wiring.flipped(self.i_word), scan.i_word)
        total, held = Signal(32), Signal(32)        # clocks since `switch`, in HOLD and MUTE
        calm = Signal(range(settle + 1))            # clocks without activity
        quiet, again, late, drains = Signal(), Signal(), Signal(), Signal()
        since = Signal(32)                          # the last HANDOVER
        muted = Signal(range(MUTE_CLOCKS + 1))      # clocks in MUTE
        m.d.comb += [
            self.draining.eq((state != SwitchState.IDLE) & (state != SwitchState.YIELDED)),
            self.steer.eq((state == SwitchState.HOLD) | self.mute), self.close.eq(self.steer & (held >= limit // 4)),
            self.mute.eq((state == SwitchState.MUTE) | self.yielded), self.yielded.eq(state == SwitchState.YIELDED),
            quiet.eq(calm == settle), late.eq(total >= config.switch_patience),
            scan.valid.eq(self.valid), self.conn.eq(scan.conn), scan.patient.eq(state == SwitchState.DRAIN),
            self.scanning.eq(scan.run),
            scan.run.eq((state == SwitchState.DRAIN) & drains & ~late | (state == SwitchState.HOLD) & quiet),
        ]
        m.d.sync += [self.count.eq(0), calm.eq(0), drains.eq(state == SwitchState.DRAIN)]

        def end(verdict, counter):
            m.d.sync += [state.eq(SwitchState.IDLE), self.verdict.eq(verdict), counter.eq(1)]

        with m.If(state != SwitchState.IDLE):
            m.d.sync += total.eq(total + 1)
        with m.If((state == SwitchState.HOLD) | (state == SwitchState.MUTE)):
            m.d.sync += held.eq(held + 1)
            with m.If(~self.busy & self.settled):
                m.d.sync += calm.eq(calm + ~quiet)
        with m.Switch(state):
            with m.Case(SwitchState.IDLE):
                m.d.sync += [total.eq(0), held.eq(0)]
                with m.If(config.switch):
                    with m.If(self.active & self.protected):
                        m.d.sync += [state.eq(SwitchState.DRAIN), self.verdict.eq(SwitchVerdict.NONE)]
                    with m.Else():
                        end(SwitchVerdict.REFUSED, self.count.switch_refused)
            with m.Case(SwitchState.DRAIN):
                m.d.sync += held.eq(0)
                with m.If(scan.done | late):
                    m.d.sync += state.eq(SwitchState.HOLD)
            with m.Case(SwitchState.HOLD):
                m.d.sync += muted.eq(0)
                with m.If(scan.done):
                    with m.If((scan.unsent == 0) & (~scan.held | late) | config.switch_force & late):
                        m.d.sync += [state.eq(SwitchState.MUTE), self.clean.eq(~scan.held),
                                     self.count.switch_forced.eq(scan.unsent != 0)]
                    with m.Elif(late):
                        end(SwitchVerdict.UNSENT, self.count.switch_unsent)
                    with m.Else():
                        m.d.sync += state.eq(SwitchState.DRAIN)
                with m.Elif(held >= limit):
                    end(SwitchVerdict.BUSY, self.count.switch_busy)
            with m.Case(SwitchState.MUTE):
                m.d.sync += muted.eq(muted + (muted != MUTE_CLOCKS))
                with m.If(held >= 2 * limit):
                    end(SwitchVerdict.BUSY, self.count.switch_busy)
                with m.Elif(quiet & ~self.busy & self.settled & (muted == MUTE_CLOCKS)):
                    m.d.comb += self.handover.eq(1)
                    m.d.sync += [state.eq(SwitchState.YIELDED), self.clocks.eq(total), self.hold_clocks.eq(held),
                                 total.eq(0), since.eq(0)]
            with m.Case(SwitchState.YIELDED):
                m.d.comb += [again.eq((config.retransmit_after != 0) & (since >= config.retransmit_after)),
                             self.handover.eq(again)]
                m.d.sync += since.eq(since + 1)
                with m.If(again):
                    m.d.sync += since.eq(0)
                with m.If(~self.active):
                    end(SwitchVerdict.DONE, self.count.switched)
                with m.Elif(~self.joined):
                    end(SwitchVerdict.BROKEN, self.count.switch_broken)
                with m.Elif(total >= config.lease):
                    end(SwitchVerdict.UNANSWERED, self.count.switch_unanswered)
        with m.If((state != SwitchState.IDLE) & (state != SwitchState.YIELDED) & ~(self.active & self.protected)):
            m.d.comb += self.handover.eq(0)
            end(SwitchVerdict.BROKEN, self.count.switch_broken)
            m.d.sync += [self.count.switch_forced.eq(0), self.count.switch_unsent.eq(0), self.count.switch_busy.eq(0)]
        return m
