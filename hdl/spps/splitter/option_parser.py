"""TCP options."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import OptionFlag

__all__ = ["OptionParser", "option_layout"]

_END, _NOP, _MSS, _WSCALE, _SACK_PERMITTED, _SACK, _TIMESTAMP = 0, 1, 2, 3, 4, 5, 8
_PLAIN_TIMESTAMP = 0x0101080A           # two NOPs, then a timestamp: RFC 7323, appendix A
_WSCALE_LIMIT = 14                      # RFC 7323 §2.3


def option_layout():
    """Findings, named as in Event."""
    return data.StructLayout({"mss": 16, "wscale": 8, "options": 8, "ts_val": 32, "ts_ecr": 32, "sack_left": 32, "sack_right": 32})


class OptionParser(wiring.Component):
    """Read TCP options byte by byte.

    Source: RFC 9293 §3.1, RFC 7323, RFC 2018.
    Members: words, ten option words, constant from start to done; size, bytes of them; syn, the segment has SYN: others carry no MSS, WSCALE, SACK_PERMITTED;
    start, pulse; done, level, from the clock after the last byte on; o, valid while done.
    Latency: one clock per byte, at most 40; two for the usual NOP NOP TIMESTAMP. Backpressure: none; start again when done.
    Drop: a malformed option ends the parse; what stood before it counts. Reset: done.
    """

    words: In(data.ArrayLayout(32, 10))
    size: In(range(41))
    syn: In(1)
    start: In(1)
    done: Out(1, init=1)
    o: Out(option_layout())

    def elaborate(self, platform):
        m = Module()
        rest = Signal(32)                       # what is left of a word, next byte in the most significant byte
        following = Signal(range(11))           # the word after it
        place = Signal(2)                       # of the next byte in its word
        advance = Signal()
        left = Signal(range(41))                # bytes not yet taken
        kind, length, body, taken = Signal(8), Signal(8), Signal(6), Signal(4)
        value = Signal(64)
        byte = Signal(8)
        after = Signal(range(41))
        m.d.comb += [byte.eq(rest[24:]), after.eq(left - 1)]
        full_value = Signal(64)                 # with the byte at hand
        m.d.comb += full_value.eq(Mux(taken == 8, value, value << 8 | byte))
        found = Signal(data.StructLayout({"now": 1, "stop": 1}))

        def apply(kind, length, value):
            """Take over one whole option, or stop at a length that its kind cannot have."""
            with m.Switch(kind):
                with m.Case(_MSS):
                    m.d.comb += found.stop.eq(length != 4)
                    with m.If((length == 4) & self.syn):
                        m.d.sync += [self.o.mss.eq(value[:16]), self.o.options.eq(self.o.options | OptionFlag.MSS)]
                with m.Case(_WSCALE):
                    m.d.comb += found.stop.eq(length != 3)
                    with m.If((length == 3) & self.syn):
                        m.d.sync += [self.o.wscale.eq(Mux(value[:8] > _WSCALE_LIMIT, _WSCALE_LIMIT, value[:8])),
                                     self.o.options.eq(self.o.options | OptionFlag.WSCALE)]
                with m.Case(_SACK_PERMITTED):
                    m.d.comb += found.stop.eq(length != 2)
                    with m.If((length == 2) & self.syn):
                        m.d.sync += self.o.options.eq(self.o.options | OptionFlag.SACK_PERMITTED)
                with m.Case(_TIMESTAMP):
                    m.d.comb += found.stop.eq(length != 10)
                    with m.If(length == 10):
                        m.d.sync += [self.o.ts_val.eq(value[32:]), self.o.ts_ecr.eq(value[:32]),
                                     self.o.options.eq(self.o.options | OptionFlag.TIMESTAMP)]
                with m.Case(_SACK):
                    whole = (length[:3] == 2) & (length >= 10)
                    m.d.comb += found.stop.eq(~whole)
                    with m.If(whole):
                        m.d.sync += [self.o.sack_left.eq(value[32:]), self.o.sack_right.eq(value[:32]),
                                     self.o.options.eq(self.o.options | OptionFlag.SACK)]

        with m.If(advance):
            m.d.sync += [rest.eq(rest << 8), place.eq(place + 1)]
            with m.If(place == 3):
                m.d.sync += following.eq(following + 1)
                with m.Switch(following):
                    for n in range(1, 10):
                        with m.Case(n):
                            m.d.sync += rest.eq(self.words[n])
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [self.o.eq(0), self.done.eq(0), left.eq(self.size), rest.eq(self.words[0]), following.eq(1), place.eq(0)]
                    m.next = "KIND"
            with m.State("KIND"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), kind.eq(byte), value.eq(0), taken.eq(0)]
                with m.If((left == 12) & (following == 1) & (rest == _PLAIN_TIMESTAMP)):
                    m.d.sync += [self.o.ts_val.eq(self.words[1]), self.o.ts_ecr.eq(self.words[2]), left.eq(0), self.done.eq(1),
                                 self.o.options.eq(self.o.options | OptionFlag.TIMESTAMP)]
                    m.next = "IDLE"
                with m.Elif((left == 0) | (byte == _END)):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(byte != _NOP):
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), length.eq(byte), body.eq(byte - 2)]
                with m.If((left == 0) | (byte < 2) | (byte > after + 2)):
                    m.d.comb += found.stop.eq(1)
                with m.Elif(byte == 2):
                    apply(kind, byte, value)
                    m.next = "KIND"
                with m.Else():
                    m.next = "BODY"
                with m.If(found.stop):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("BODY"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), body.eq(body - 1), value.eq(full_value)]
                with m.If(taken != 8):
                    m.d.sync += taken.eq(taken + 1)
                with m.If(body == 1):
                    apply(kind, length, full_value)
                    m.next = "KIND"
                with m.If(found.stop):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
        return m
