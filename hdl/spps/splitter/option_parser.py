"""TCP options."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import OptionFlag
from ..layouts.headers import TcpOption

__all__ = ["OptionParser", "option_layout"]

#: bytes of an option with its kind and length
_LENGTH = {TcpOption.MSS: 4, TcpOption.WSCALE: 3, TcpOption.SACK_PERMITTED: 2, TcpOption.TIMESTAMP: 10}
#: the usual options of a segment, RFC 7323 appendix A: two NOPs, then a timestamp
_PLAIN_TIMESTAMP = int.from_bytes(
    bytes([TcpOption.NOP, TcpOption.NOP, TcpOption.TIMESTAMP, _LENGTH[TcpOption.TIMESTAMP]]), "big")
_WSCALE_LIMIT = 14                      # RFC 7323 §2.3


def option_layout():
    """Return the layout of what the options say, fields named as in Event."""
    return data.StructLayout({
        "mss": 16, "wscale": 8, "options": 8, "ts_val": 32, "ts_ecr": 32, "sack_left": 32, "sack_right": 32,
    })


class OptionParser(wiring.Component):
    """Read TCP options byte by byte.

    Members
    -------
    words : In(ArrayLayout(32, 10))
        Option words of the TCP header, constant from `start` to `done`.
    size : In(range(41)), bytes
        Bytes of options.
    syn : In(1)
        The segment has SYN; without it MSS, WSCALE and SACK_PERMITTED are ignored.
    start : In(1), pulse
        Begin; only while `done`.
    done : Out(1)
        `o` is valid: from the clock after the last byte until `start`.
    o : Out(option_layout())
        What the options say. WSCALE above 14 gives 14; of SACK the first block counts.

    Timing
    ------
    One clock per byte and one more, at most 41; two clocks for NOP NOP TIMESTAMP. No backpressure.

    Drop
    ----
    A malformed option and all that follow it.

    Reset
    -----
    `done`, with nothing found.

    Source
    ------
    RFC 9293 §3.1, RFC 7323, RFC 2018.
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
        stop = Signal()                         # the option is malformed
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
                    m.d.sync += [
                        self.o.eq(0), self.done.eq(0), left.eq(self.size), rest.eq(self.words[0]),
                        following.eq(1), place.eq(0),
                    ]
                    m.next = "KIND"
            with m.State("KIND"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), kind.eq(byte), value.eq(0), taken.eq(0)]
                with m.If((left == 12) & (following == 1) & (rest == _PLAIN_TIMESTAMP)):
                    m.d.sync += [
                        self.o.ts_val.eq(self.words[1]), self.o.ts_ecr.eq(self.words[2]), left.eq(0), self.done.eq(1),
                        self.o.options.eq(self.o.options | OptionFlag.TIMESTAMP),
                    ]
                    m.next = "IDLE"
                with m.Elif((left == 0) | (byte == TcpOption.END)):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(byte != TcpOption.NOP):
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), length.eq(byte), body.eq(byte - 2)]
                with m.If((left == 0) | (byte < 2) | (byte > after + 2)):
                    m.d.comb += stop.eq(1)
                with m.Elif(byte == 2):
                    self._take(m, kind, byte, value, stop)
                    m.next = "KIND"
                with m.Else():
                    m.next = "BODY"
                with m.If(stop):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("BODY"):
                m.d.comb += advance.eq(1)
                m.d.sync += [left.eq(after), body.eq(body - 1), value.eq(full_value)]
                with m.If(taken != 8):
                    m.d.sync += taken.eq(taken + 1)
                with m.If(body == 1):
                    self._take(m, kind, length, full_value, stop)
                    m.next = "KIND"
                with m.If(stop):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
        return m

    def _take(self, m, kind, length, value, stop):
        """Put one whole option into `o`, or set `stop` for a length that its kind cannot have."""
        o, number = self.o, value[:8]
        whole_sack = (length[:3] == 2) & (length >= 10)         # 2 bytes and 8 per block
        with m.Switch(kind):
            for option, flag, given, values in (
                (TcpOption.MSS, OptionFlag.MSS, self.syn, [o.mss.eq(value[:16])]),
                (TcpOption.WSCALE, OptionFlag.WSCALE, self.syn,
                 [o.wscale.eq(Mux(number > _WSCALE_LIMIT, _WSCALE_LIMIT, number))]),
                (TcpOption.SACK_PERMITTED, OptionFlag.SACK_PERMITTED, self.syn, []),
                (TcpOption.TIMESTAMP, OptionFlag.TIMESTAMP, 1, [o.ts_val.eq(value[32:]), o.ts_ecr.eq(value[:32])]),
                (TcpOption.SACK, OptionFlag.SACK, 1, [o.sack_left.eq(value[32:]), o.sack_right.eq(value[:32])]),
            ):
                right = whole_sack if option is TcpOption.SACK else length == _LENGTH[option]
                with m.Case(option):
                    m.d.comb += stop.eq(~right)
                    with m.If(right & given):
                        m.d.sync += [*values, o.options.eq(o.options | flag)]
