"""Which sync frames a unit takes: authentic ones of its peer, each once. The model and the RTL agree on the reason."""
import random
from dataclasses import replace

import pytest

from spps.failover.frame_guard import FrameGuard
from spps_sim.model.failover import CONFIRM, ECHO, FULL, JOIN, START, STATE, SyncFrame, encode
from tests.failover.env_frame_receiver import KEYS, SESSION, TAKEN, Env, delta, heartbeat

OTHER = bytes(range(100, 116))


def refused(env, reasons):
    """Run it, and check that all is as the model says, and that these are the reasons, in order."""
    found = env.run()
    assert found == env.expected
    assert found == list(reasons)


@pytest.mark.parametrize("gap, wait", ((0, 0), (9, 0), (2, 200)))
def test_takes_every_type_and_every_length(gap, wait):
    env, rng = Env(), random.Random(3)
    env.give(heartbeat(1))
    env.give(delta(2))
    for serial, kind in enumerate((CONFIRM, ECHO, JOIN, START), 3):
        env.give(SyncFrame(kind, 1, serial, serial=serial, heard=SESSION))
    env.give(SyncFrame(STATE, 1, 9, kind=FULL, lines=tuple(rng.getrandbits(32) for _ in range(48)), serial=7,
                       heard=SESSION))
    env.give(delta((1 << 64) - 1))
    assert env.run(lambda: rng.randrange(gap + 1), lambda: rng.randrange(wait + 1)) == [TAKEN] * 8


def flipped(data, place):
    """The bytes with one bit changed."""
    return data[:place // 8] + bytes((data[place // 8] ^ 1 << place % 8,)) + data[place // 8 + 1:]


def _flips(guard=None, frames=(heartbeat, delta), first=0):
    """An Env that was given bent copies of each frame, one for every fifth bit from `first` on, before the frame."""
    env = Env(guard=guard)
    for serial, frame in enumerate(frames, 1):
        data = encode(frame(serial << 32), KEYS[0])
        for place in range(first, 8 * len(data), 5):
            env.give(flipped(data, place))
        env.give(data)
    return env


def test_refuses_a_frame_with_one_bit_bent():
    env = _flips()
    found = env.run()
    assert found == env.expected and found.count(TAKEN) == 2
    assert set(found) == {TAKEN, "bad_frame", "bad_version", "foreign_frame", "bad_key", "bad_tag"}


def test_refuses_bits_bent_in_header_and_tag_together():
    env, rng = Env(), random.Random(2)
    data = encode(delta(1 << 32), KEYS[0])
    for _ in range(40):
        bent = flipped(flipped(data, rng.randrange(8 * 18, 8 * 22)), rng.randrange(8 * len(data) - 64, 8 * len(data)))
        env.give(bent)
    refused(env, ["bad_tag"] * 40)


def _replays(guard=None):
    """An Env that was given old frames: of this epoch, of an earlier one, and of a sender before its restart."""
    env = Env(guard=guard)
    old = [env.give(replace(delta(serial), epoch=epoch)) for serial, epoch in ((1, 1), (2, 1), (9, 2), (10, 2))]
    env.give(old[-1])
    for data in old:
        env.give(data)
    last = env.give(heartbeat(7 << 32))                 # it was reset
    for data in old:
        env.give(data)
    env.give(heartbeat((7 << 32) - 1, epoch=3))
    env.give(last)
    return env


def test_refuses_what_it_took_and_what_came_before_it():
    env = _replays()
    refused(env, [*[TAKEN] * 4, *["replayed"] * 5, TAKEN, *["replayed"] * 6])


def test_takes_frames_of_a_sender_that_was_reset_only_with_a_larger_session():
    env = Env()
    env.give(heartbeat(3 << 32))
    env.give(heartbeat(1))
    env.give(heartbeat((3 << 32) + 1))
    env.give(heartbeat(4 << 32))
    refused(env, [TAKEN, "replayed", TAKEN, TAKEN])


def test_refuses_its_own_frames_and_those_of_strangers():
    env = Env()
    env.give(replace(delta(1), unit=1))                                     # reflected
    data = encode(delta(2), KEYS[0])
    env.give(bytes.fromhex("020000000003") + data[6:])
    env.give(data[:6] + bytes.fromhex("020000000003") + data[12:])
    env.give(b"\xff" * 6 + data[6:])
    env.give(data)
    refused(env, [*["foreign_frame"] * 4, TAKEN])


def test_refuses_what_another_key_made():
    env = Env()
    env.give(encode(delta(1), OTHER))
    env.give(encode(delta(1), bytes(16)))
    env.give(replace(delta(1), slot=1))                                     # slot b is not accepted
    env.give(delta(1))
    refused(env, ["bad_tag", "bad_tag", "bad_key", TAKEN])


def test_refuses_truncated_and_extended_frames():
    env = Env()
    data = encode(delta(1 << 32), KEYS[0])
    for words in range(1, len(data) // 8):
        env.give(data[:8 * words])
    for size in (len(data) - 1, 7, 61):
        env.give(data[:size])
    for more in (8, 16, 8 * 30):
        env.give(data + bytes(more))
    env.give(data, err=True)
    env.give(data)
    refused(env, [*["bad_frame"] * (len(data) // 8 - 1 + 7), TAKEN])


def test_an_empty_slot_opens_nothing():
    """A slot without a key is accepted only if there is no key at all."""
    env = Env(accept=3)
    env.give(encode(delta(1, slot=1), bytes(16)))
    env.give(delta(1))
    refused(env, ["bad_key", TAKEN])
    env = Env(keys=(bytes(16), bytes(16)), accept=1)
    env.give(delta(1))
    env.give(delta(2, slot=1))
    refused(env, [TAKEN, "bad_key"])


def test_takes_both_keys_while_both_are_accepted():
    env = Env(keys=KEYS, accept=1)
    env.give(delta(1))
    env.give(delta(2, slot=1))
    env.model.accept = 3
    env.give(delta(3))
    env.give(delta(4, slot=1))
    env.give(delta(5))
    env.model.accept = 2
    env.give(delta(6))
    env.give(delta(7, slot=1))
    refused(env, [TAKEN, "bad_key", TAKEN, TAKEN, TAKEN, "bad_key", TAKEN])


def _after_a_reset(active, guard=None):
    """An Env of a unit that was reset, given what its peer sent before that, and after it has heard of it."""
    env = Env(active=active, guard=guard)
    for serial, kind in enumerate((STATE, CONFIRM, ECHO, JOIN, START), 1):
        lines = tuple(range(8)) if kind == STATE else ()
        env.give(SyncFrame(kind, 1, 9, lines=lines, serial=serial, heard=SESSION - 1))
    env.give(heartbeat(6, heard=SESSION - 1))
    env.give(heartbeat(7, heard=0))
    env.give(delta(8))
    env.give(delta(9, heard=SESSION + 1))
    return env


def test_a_unit_that_was_reset_takes_heartbeats_only_until_its_peer_has_heard_of_it():
    refused(_after_a_reset(active=0), [*["unheard"] * 5, TAKEN, TAKEN, TAKEN, TAKEN])


def test_an_active_that_was_reset_takes_nothing_until_its_peer_has_heard_of_it():
    refused(_after_a_reset(active=1), [*["unheard"] * 7, TAKEN, TAKEN])


def _ends(guard):
    return _flips(guard, (heartbeat,), 8 * 50)


class _NoTag(FrameGuard):
    def _same(self, tag):
        return tag == tag


class _HalfTag(FrameGuard):
    def _same(self, tag):
        return self.tag[:56] == tag[:56]


class _NoSerial(FrameGuard):
    def _above(self, last):
        return last == last


class _LowSerial(FrameGuard):
    def _above(self, last):
        return self.serial[:32] > last[:32]


class _Repeats(FrameGuard):
    def _above(self, last):
        return self.serial >= last


class _NoSession(FrameGuard):
    def _recent(self):
        return self.heard == self.heard


class _EmptySlot(FrameGuard):
    def _open(self):
        return self.accept


@pytest.mark.parametrize("guard, cases", (
    (_NoTag, _ends), (_HalfTag, _ends), (_NoSerial, _replays), (_LowSerial, _replays), (_Repeats, _replays),
    (_NoSession, lambda guard: _after_a_reset(0, guard)),
))
def test_a_guard_that_leaves_something_out_is_found(guard, cases):
    env = cases(guard())
    assert env.run() != env.expected


def test_a_guard_that_opens_an_empty_slot_is_found():
    env = Env(accept=3, guard=_EmptySlot())
    env.give(encode(delta(1, slot=1), bytes(16)))
    assert env.run() == [TAKEN] != env.expected
