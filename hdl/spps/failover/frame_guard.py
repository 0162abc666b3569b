"""Decides whether a frame comes from the other unit and was not taken before."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .sip_hash import HashWord, SipHash
from .sync_frame import KEY_BITS, KEY_SLOTS

__all__ = ["FrameGuard"]


class FrameGuard(wiring.Component):
    """Checks the tag of a frame, its serial, and that the peer has heard of this session of ours.

    A slot whose key is 0 counts as empty, and its tags are not accepted, unless no slot has a key at all: what was
    never loaded must not open a door.

    Members
    -------
    keys, accept : In(256), In(2)
        Keys of slots a and b; bit n: tags of slot n are accepted.
    session : In(32)
        Least session of ours that a peer must have heard.
    i : In(stream of HashWord)
        All words of a frame but the tag.
    slot, tag, serial, heard : In(1), In(64), In(64), In(32)
        What the frame says. `slot` is constant from two clocks before the first word; the others count a clock later.
    clear : In(1)
        One clock: the frame in hand is over.
    good : In(1)
        With `clear`: if nothing is wrong here either, the frame is taken.
    done : Out(1)
        What follows is valid, if the inputs have not changed in the clock before, until `clear`.
    known, genuine, new, fresh : Out(1)
        The slot is accepted; the tag is right; the serial is above that of the last frame taken; the peer has heard of
        this session.
    peer_session : Out(32)
        Session of the last frame taken.
    loaded : Out(2)
        Bit n: slot n has a key.

    Timing
    ------
    As `SipHash`, and `done` a clock later.

    Drop
    ----
    None; the receiver drops.

    Reset
    -----
    No frame taken, session 0.

    Source
    ------
    hdl/spps/failover/README.md, "Authentication".
    """

    def __init__(self):
        super().__init__({
            "keys": In(KEY_SLOTS * KEY_BITS), "accept": In(KEY_SLOTS), "session": In(32),
            "i": In(stream.Signature(HashWord)), "slot": In(1), "tag": In(64), "serial": In(64), "heard": In(32),
            "clear": In(1), "good": In(1),
            "done": Out(1), "known": Out(1), "genuine": Out(1), "new": Out(1), "fresh": Out(1),
            "peer_session": Out(32), "loaded": Out(KEY_SLOTS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.hash = hash_ = SipHash()
        keys = [self.keys[n * KEY_BITS:(n + 1) * KEY_BITS] for n in range(KEY_SLOTS)]
        wiring.connect(m, wiring.flipped(self.i), hash_.i)
        last, accepted = Signal(64), Signal(KEY_SLOTS)
        m.d.comb += [hash_.key.eq(Mux(self.slot, keys[1], keys[0])), hash_.clear.eq(self.clear),
                     accepted.eq(self._open()),
                     self.peer_session.eq(last[32:])]
        m.d.sync += [
            self.loaded.eq(Cat(key.any() for key in keys)),
            self.known.eq(accepted.bit_select(self.slot, 1)), self.genuine.eq(self._same(hash_.tag)),
            self.new.eq(self._above(last)), self.fresh.eq(self._recent()),
            self.done.eq(hash_.done & ~self.clear),
        ]
        with m.If(self.clear & self.good & self.done & self.known & self.genuine & self.new):
            m.d.sync += last.eq(self.serial)
        return m

    def _open(self):
        """Slots that are accepted."""
        return self.accept & (self.loaded | ~self.loaded.any().replicate(KEY_SLOTS))

    def _same(self, tag):
        """Whether the frame has this tag."""
        return self.tag == tag

    def _above(self, last):
        """Whether the serial is above the last one."""
        return self.serial > last

    def _recent(self):
        """Whether the peer has heard of this session."""
        return self.heard >= self.session
