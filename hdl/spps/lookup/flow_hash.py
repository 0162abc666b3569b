"""The keyed hash of flow keys: HalfSipHash-2-4 with 64 bits of output.

Source: patent §III.A (hash lookup); J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", and the
HalfSipHash of its authors' reference code (32-bit words, 64-bit key).

Strength: a pseudorandom function of a 64-bit secret. Without the secret, colliding keys are found only by trying, as
long as no output is visible: bits 31:0 choose buckets and never leave the lookup controller; bits 63:32 are given to
microcode for initial sequence numbers. The secret has 64 bits: enough for a hash table, not for a signature, as 2^64
work finds it.
"""
from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import FlowKey

__all__ = ["FlowHash", "FlowHasher"]

_INIT = (0x00000000, 0x00000000, 0x6C796765, 0x74656462)
_MESSAGE_BYTES = 16
_MASK = 0xFFFFFFFF


def _rotate(value, count):
    return (value << count | value >> 32 - count) & _MASK


class FlowHash:
    """HalfSipHash-`c`-`d` of a flow key, which is padded to 16 bytes, least significant byte first.

    Parameters
    ----------
    c, d : int
        Rounds per block and at the end, at least 1; ValueError otherwise.
    """

    def __init__(self, c=2, d=4):
        for name, value in (("c", c), ("d", d)):
            if value < 1:
                raise ValueError(f"{name}={value!r}: must be at least 1")
        self.c, self.d = c, d

    @property
    def blocks(self):
        """32-bit words of the message, with the one that carries its length."""
        return _MESSAGE_BYTES // 4 + 1

    @property
    def rounds(self):
        """Rounds of one hash: c per block, d for each half of the output."""
        return self.blocks * self.c + 2 * self.d

    @staticmethod
    def round(v0, v1, v2, v3):
        """One round on four 32-bit integers."""
        v0 = v0 + v1 & _MASK
        v1 = _rotate(v1, 5) ^ v0
        v0 = _rotate(v0, 16)
        v2 = v2 + v3 & _MASK
        v3 = _rotate(v3, 8) ^ v2
        v0 = v0 + v3 & _MASK
        v3 = _rotate(v3, 7) ^ v0
        v2 = v2 + v1 & _MASK
        v1 = _rotate(v1, 13) ^ v2
        return v0, v1, _rotate(v2, 16), v3

    def compute(self, key, secret):
        """64-bit hash of a 116-bit flow key under a 64-bit secret."""
        k0, k1 = secret & _MASK, secret >> 32
        v = (_INIT[0] ^ k0, _INIT[1] ^ k1 ^ 0xEE, _INIT[2] ^ k0, _INIT[3] ^ k1)
        for block in [key >> 32 * i & _MASK for i in range(self.blocks - 1)] + [_MESSAGE_BYTES << 24]:
            v = (*v[:3], v[3] ^ block)
            for _ in range(self.c):
                v = self.round(*v)
            v = (v[0] ^ block, *v[1:])
        result = 0
        for half, tweak in enumerate((lambda w: (w[0], w[1], w[2] ^ 0xEE, w[3]),
                                      lambda w: (w[0], w[1] ^ 0xDD, w[2], w[3]))):
            v = tweak(v)
            for _ in range(self.d):
                v = self.round(*v)
            result |= (v[1] ^ v[3]) << 32 * half
        return result


class FlowHasher(wiring.Component):
    """FlowHash in hardware, one round per clock.

    Parameters
    ----------
    flow_hash : FlowHash, optional
        What is computed.

    Members
    -------
    i : In(stream of FlowKey)
        Keys.
    o : Out(stream of 64 bits)
        Their hashes.
    secret : In(64)
        Read in the clock in which a key is taken.

    Timing
    ------
    `flow_hash.rounds` + 1 clocks per key. One key at a time: `i` waits until the hash is taken.

    Drop
    ----
    None.

    Reset
    -----
    Idle.
    """

    def __init__(self, flow_hash=None):
        self.flow_hash = flow_hash or FlowHash()
        super().__init__({
            "i": In(stream.Signature(FlowKey)),
            "o": Out(stream.Signature(unsigned(64))),
            "secret": In(64),
        })

    def elaborate(self, platform):
        m = Module()
        spec = self.flow_hash
        v = [Signal(32, name=f"v{i}") for i in range(4)]
        words = Signal(32 * spec.blocks)        # bits 31:0 are the current block
        left = Signal(range(spec.rounds + 1))
        m.d.comb += self.i.ready.eq((left == 0) & ~self.o.valid)

        # what follows a round: the end of a block, the tweaks before the two halves of the output
        def after(*rounds):
            number = Signal(len(rounds), name=f"after_{rounds[0]}")
            m.d.comb += number.eq(Cat(left == spec.rounds - r for r in rounds))
            return number.any()
        block_end = [spec.c * (i + 1) - 1 for i in range(spec.blocks)]
        ends_block, more_blocks = after(*block_end), after(*block_end[:-1])
        ends_message, ends_low = after(block_end[-1]), after(block_end[-1] + spec.d)

        a0 = Signal(32)
        a1, a2, a3 = (Signal(32, name=f"a{i}") for i in (1, 2, 3))
        n = [Signal(32, name=f"n{i}") for i in range(4)]
        m.d.comb += [
            a0.eq(v[0] + v[1]), a1.eq(v[1].rotate_left(5) ^ a0),
            a2.eq(v[2] + v[3]), a3.eq(v[3].rotate_left(8) ^ a2),
            n[0].eq(a0.rotate_left(16) + a3), n[3].eq(a3.rotate_left(7) ^ n[0]),
            n[2].eq(a2 + a1), n[1].eq(a1.rotate_left(13) ^ n[2]),
        ]
        with m.If(self.i.valid & self.i.ready):
            k0, k1 = self.secret[:32], self.secret[32:]
            message = Cat(self.i.payload, Const(0, 128 - len(self.i.payload.as_value())),
                          Const(_MESSAGE_BYTES << 24, 32))
            m.d.sync += [
                v[0].eq(_INIT[0] ^ k0), v[1].eq(_INIT[1] ^ 0xEE ^ k1), v[2].eq(_INIT[2] ^ k0),
                v[3].eq(_INIT[3] ^ k1 ^ message[:32]),
                words.eq(message),
                left.eq(spec.rounds),
            ]
        with m.If(left != 0):
            m.d.sync += [
                v[0].eq(n[0] ^ Mux(ends_block, words[:32], 0)),
                v[1].eq(n[1] ^ Mux(ends_low, 0xDD, 0)),
                v[2].eq(n[2].rotate_left(16) ^ Mux(ends_message, 0xEE, 0)),
                v[3].eq(n[3] ^ Mux(more_blocks, words[32:64], 0)),
                left.eq(left - 1),
            ]
            with m.If(ends_block):
                m.d.sync += words.eq(words >> 32)
            with m.If(ends_low):
                m.d.sync += self.o.payload[:32].eq(n[1] ^ n[3])
            with m.If(left == 1):
                m.d.sync += [self.o.payload[32:].eq(n[1] ^ n[3]), self.o.valid.eq(1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
