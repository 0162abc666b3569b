"""Looks for payload that only socket memory of this unit has."""
from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateWord
from ..layouts.flowstate import LEG, LEG_BASE, LEG_STRIDE, SHARED, ConnFlag
from .sync_frame import older

__all__ = ["PayloadScan"]

PAUSE = 63          # clocks until a connection that has something is looked at again


class PayloadScan(wiring.Component):
    """Goes once over the proxied connections in use and compares what came for a leg with what that leg has sent.

    With `patient` it stays at a connection until it has seen it with everything acknowledged, on both legs. Without, it
    looks at each once, and counts those with bytes that were never sent. A connection in a handshake has no bytes; with
    `patient` it is waited for as well.

    Parameters
    ----------
    connections : int
        Of the unit.

    Members
    -------
    run : In(1)
        1: go over the connections, from the first one on. 0: stop, and forget the result.
    patient : In(1)
        See above; must not change while `run` is 1.
    done : Out(1)
        Every connection has been passed. It stays until `run` falls.
    unsent, held : Out(16), Out(1), connections
        With `done`, and without `patient`: those with bytes that were never sent; there are some with bytes that are
        not acknowledged.
    conn, valid : Out(16), In(1)
        Which connection; one clock later: it is in use.
    o_word, i_word : Out(stream(FlowstateWord)), In(stream(32), always ready)
        Word of flowstate memory, and its value. An answer comes for every request, also after `run` has fallen.

    Timing
    ------
    Three clocks for a connection that is not in use, else seven words of flowstate, one after the other. A connection
    that has something is looked at again after 64 clocks.

    Reset
    -----
    Idle.

    Source
    ------
    `layouts.flowstate`; hdl/spps/failover/README.md, "Planned switch-over".
    """

    def __init__(self, connections):
        self.connections = connections
        super().__init__({
            "run": In(1), "patient": In(1), "done": Out(1), "unsent": Out(16), "held": Out(1),
            "conn": Out(16), "valid": In(1),
            "o_word": Out(stream.Signature(FlowstateWord)),
            "i_word": In(stream.Signature(unsigned(32), always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        leg, place_of = Signal(), Signal(range(3))      # SND.UNA, SND.MAX, end
        waits, unsent = Signal(), Signal()              # on this connection: bytes not acknowledged; never sent
        una, reached, flags = Signal(32), Signal(32), Signal(32)
        pause = Signal(range(PAUSE + 1))
        place = self.o_word.payload
        base = Mux(leg, LEG_BASE + LEG_STRIDE, LEG_BASE)
        m.d.comb += [place.conn.eq(self.conn), flags.eq(self.i_word.payload)]

        def following():
            m.d.sync += [self.conn.eq(self.conn + 1), leg.eq(0), waits.eq(0), unsent.eq(0)]
            with m.If(self.conn == self.connections - 1):
                m.next = "DONE"
            with m.Else():
                m.next = "CHOOSE"

        def ask(state, word):
            with m.State(f"ASK_{state}"):
                m.d.comb += [self.o_word.valid.eq(1), place.word.eq(word[:len(place.word)])]
                with m.If(self.o_word.ready):
                    m.next = f"TAKE_{state}"

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [self.conn.eq(0), self.unsent.eq(0), self.held.eq(0), leg.eq(0), waits.eq(0), unsent.eq(0)]
                with m.If(self.run):
                    m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.next = "LOOK"
            with m.State("LOOK"):
                with m.If(~self.run):
                    m.next = "IDLE"
                with m.Elif(self.valid):
                    m.next = "ASK_FLAGS"
                with m.Else():
                    following()
            ask("FLAGS", Const(SHARED["flags"].word, 7))
            with m.State("TAKE_FLAGS"):
                with m.If(self.i_word.valid):
                    with m.If(~flags[ConnFlag.PROXIED]):
                        following()
                    with m.Elif(~flags[ConnFlag.VALID]):
                        m.next = "PASS"
                        m.d.sync += waits.eq(self.patient)
                    with m.Else():
                        m.next = "ASK_LEG"
            word = Mux(place_of == 0, LEG["snd_una"].word, Mux(place_of == 1, LEG["snd_max"].word, LEG["snd_end"].word))
            ask("LEG", base + word)
            with m.State("TAKE_LEG"):
                with m.If(self.i_word.valid):
                    m.next = "ASK_LEG"
                    m.d.sync += place_of.eq(place_of + 1)
                    with m.Switch(place_of):
                        with m.Case(0):
                            m.d.sync += una.eq(self.i_word.payload)
                        with m.Case(1):
                            m.d.sync += reached.eq(self.i_word.payload)
                        with m.Default():
                            m.d.sync += [place_of.eq(0), leg.eq(1),
                                         waits.eq(waits | older(una, self.i_word.payload)),
                                         unsent.eq(unsent | older(reached, self.i_word.payload))]
                            with m.If(leg):
                                m.next = "PASS"
            with m.State("PASS"):
                with m.If(waits & self.patient):
                    m.d.sync += pause.eq(PAUSE)
                    m.next = "PAUSE"
                with m.Else():
                    m.d.sync += [self.unsent.eq(self.unsent + unsent), self.held.eq(self.held | waits)]
                    following()
            with m.State("PAUSE"):
                m.d.sync += [leg.eq(0), waits.eq(0), unsent.eq(0), pause.eq(pause - 1)]
                with m.If(pause == 0):
                    m.next = "CHOOSE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(self.run)
                with m.If(~self.run):
                    m.next = "IDLE"
        return m
