"""Takeovers (items 16, 34, 38, 60 of hdl/spps/ucode/CHECKLIST.md) with Linux around the pair in RTL.

Also programs with a defect, which the tests of this folder must not let pass.
"""
import socket

import pytest

from spps_sim.checker.wire import FIN, SYN, before, parse_segment
from tests.linux import test_linux_segments, test_linux_window
from tests.linux.env_linux import CLIENT, Env
from tests.linux.linux_frames import after, flags
from tests.linux.linux_leg import LINGER, LinuxLeg


def test_data_behind_a_hole_an_isn_and_a_fin_in_time_wait_survive_a_takeover(privilege):
    """The standby knows nothing of data behind a hole that the dead unit reported by SACK: Linux sends it again."""
    with Env() as peers:
        leg = LinuxLeg(peers, "C").open()
        isn, source = leg.ours(flags(SYN))[0].seq, leg.near.getsockname()[1]
        leg.works()
        peers.settle()
        told = parse_segment(peers.last[leg.side, True]).ack
        rule = leg.cut(False, lambda s: s.payload and s.seq == told)
        data = peers.bytes(12_000)
        sent = peers.push(leg.near, data)
        leg.answer(lambda s: 5 in s.options)
        peers.mark()
        peers.testbed.kill()
        peers.run(0.2)
        peers.lift(rule)
        peers.arrived(leg.far, data[:sent])
        assert not any(before(s.ack, told) for s in leg.ours()), "the ACK went back at the takeover"
        leg.works()
        # the pair ends in TIME-WAIT towards the server, whose FIN comes again
        server = LinuxLeg(peers, "V")
        leg.near.shutdown(socket.SHUT_WR)
        peers.ended(leg.far)
        peers.mark()
        leg.far.close()
        fin = peers.until(lambda: server.theirs(flags(FIN)), "the server's FIN")[0]
        server.once(True, lambda s: s.ack == after(fin))
        peers.until(lambda: len(server.ours(lambda s: s.ack == after(fin))) >= 2, "the second ACK")
        peers.ended(leg.near)
        leg.near.close()
        peers.run(3)                    # over with TIME-WAIT on both sides of the tuple
        peers.mark()
        listener, again = peers.listen(), peers.socket(CLIENT, LINGER)
        again.bind(("", source))
        peers.dial(again)
        peers.accept(listener)
        assert before(isn, leg.ours(flags(SYN))[0].seq)


@pytest.mark.parametrize("define, check, what", [
    ("BROKEN_ACK_BEFORE_COMMIT", test_linux_segments.test_data_is_acknowledged_only_when_the_other_linux_has_it,
     "acknowledged before the destination had it"),
    ("BROKEN_FIN_FOR_RST", test_linux_segments.test_a_reset_by_linux_aborts_the_other_leg_and_is_never_a_fin,
     "a FIN in place of a reset"),
    ("BROKEN_WINDOW_SHRINKS",
     test_linux_window.test_a_reader_that_stops_closes_the_window_of_the_sender_and_nothing_is_lost,
     "the right edge went back"),
])
def test_a_program_with_the_defect_does_not_pass(define, check, what, privilege):
    with pytest.raises(AssertionError, match=what):
        with Env(defines=(define,)) as peers:
            check(LinuxLeg(peers, "C"))
