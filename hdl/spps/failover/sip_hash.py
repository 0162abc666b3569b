"""SipHash-2-4 of messages that are whole 64-bit words, for the tags of sync frames.

Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (INDOCRYPT 2012), and the authors' reference
code, from which the order of the bytes is taken.
"""
from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SipHash", "HashWord"]

#: what the key is added to, "somepseudorandomlygeneratedbytes"
_INIT = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_STEPS = 4          # half rounds of a block
_LAST_STEPS = 8     # half rounds after the last block


class HashWord(data.Struct):
    """Eight bytes of a message, the first one in bits 7:0."""

    data: 64
    last: 1


class SipHash(wiring.Component):
    """SipHash-2-4, half a round per clock.

    Both halves of a round are two additions and two exclusive-ors, and differ in the distances of the rotations and in
    which of the four words are added. With the words v0 and v2 exchanged after each half the same adders do both.

    Members
    -------
    key : In(128)
        Its first byte in bits 7:0. Read in every clock without a message; constant for a clock before the first word.
    i : In(stream of HashWord)
        The message.
    clear : In(1)
        One clock: the message in hand, or its tag, is no longer wanted.
    tag : Out(64)
        The tag, its first byte in bits 7:0.
    done : Out(1)
        The tag is there, until `clear`.

    Timing
    ------
    Latency 18 clocks from the last word to `done`. Throughput a word in four clocks. `i` waits from the last word until
    two clocks after `clear`. A path holds one addition of 64 bits and two gates.

    Drop
    ----
    What `clear` says.

    Reset
    -----
    No message.

    Source
    ------
    See the top of the file.
    """

    def __init__(self):
        super().__init__({
            "key": In(128), "i": In(stream.Signature(HashWord)), "clear": In(1), "tag": Out(64), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        v = [Signal(64, name=f"v{n}") for n in range(4)]
        block = Signal(64)              # the word that is being worked in
        final = Signal()                # it is the last of the message
        words = Signal(5)               # of the message, modulo 256 bytes
        step = Signal(range(_LAST_STEPS))
        first, end, close = Signal(), Signal(), Signal()
        accept, run, fresh = Signal(), Signal(), Signal(init=1)

        # half a round
        mixed, low, high = Signal(64), Signal(64), Signal(64)
        m.d.comb += [mixed.eq(v[3] ^ Mux(first, block, 0)), low.eq(v[0] + v[1]), high.eq(v[2] + mixed)]
        with m.If(run):
            m.d.sync += [
                v[0].eq(high ^ Mux(end, block, 0)),
                v[1].eq(Mux(step[0], v[1].rotate_left(17), v[1].rotate_left(13)) ^ low),
                v[2].eq(low.rotate_left(32) ^ Mux(close, 0xFF, 0)),
                v[3].eq(Mux(step[0], mixed.rotate_left(21), mixed.rotate_left(16)) ^ high),
                step.eq(step + 1),
            ]
        with m.Elif(fresh):
            m.d.sync += [word.eq(Const(init, 64) ^ self.key[64 * (n % 2):][:64])
                         for n, (word, init) in enumerate(zip(v, _INIT))]

        m.d.comb += accept.eq(self.i.valid & self.i.ready)
        with m.If(accept):
            m.d.sync += [block.eq(self.i.payload.data), final.eq(self.i.payload.last), words.eq(words + 1),
                         step.eq(0), fresh.eq(0)]
        with m.FSM():
            with m.State("BEGIN"):
                m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.comb += [run.eq(1), first.eq(step == 0), end.eq(step == _STEPS - 1),
                             self.i.ready.eq(end & ~final)]
                with m.If(end & final):
                    m.d.sync += [block.eq(Cat(Const(0, 59), words)), step.eq(0)]
                    m.next = "LENGTH"
                with m.Elif(end & ~self.i.valid):
                    m.next = "WAIT"
            with m.State("LENGTH"):
                m.d.comb += [run.eq(1), first.eq(step == 0), end.eq(step == _STEPS - 1), close.eq(end)]
                with m.If(end):
                    m.d.sync += step.eq(0)
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += run.eq(1)
                with m.If(step == _LAST_STEPS - 1):
                    m.next = "FOLD"
            with m.State("FOLD"):
                m.d.sync += [self.tag.eq(v[0] ^ v[1] ^ v[2] ^ v[3]), self.done.eq(1)]
                m.next = "DONE"
            with m.State("DONE"):
                pass
        return ResetInserter(self.clear)(m)
