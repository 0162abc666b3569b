"""Closing and wrapping numbers (items 56 to 62 of hdl/spps/ucode/CHECKLIST.md) against Linux around the pair in RTL.

The monitor must explain every frame.
"""
import errno
import socket
import struct

import pytest

from spps_sim.checker.wire import FIN, RST, SYN, parse_segment
from tests.linux.env_linux import CLIENT, SERVER
from tests.linux.linux_frames import after, flags, with_data
from tests.linux.linux_leg import simultaneous_open

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, SEND_QUEUE = 19, 20, 21, 2     # linux/tcp.h
PROXIED = pytest.mark.parametrize("leg", ["C", "V"], indirect=True)


@PROXIED
def test_half_closed_connections_carry_data_the_other_way(leg):
    leg.open()
    leg.peers.push(leg.near, b"the last word")
    leg.near.shutdown(socket.SHUT_WR)
    leg.peers.arrived(leg.far, b"the last word")
    leg.peers.ended(leg.far)
    leg.back(leg.peers.bytes(40_000))
    leg.far.shutdown(socket.SHUT_WR)
    leg.peers.ended(leg.near)


@PROXIED
def test_a_fin_is_acknowledged_only_after_the_relayed_one_was(leg):
    peers = leg.at_rest().peers
    rule = peers.cut(leg.far_side, False)
    leg.near.shutdown(socket.SHUT_WR)
    relayed = peers.until(lambda: peers.passed(leg.far_side, True, flags(FIN)), "the relayed FIN")[0].segment
    peers.run(0.3)
    fin = leg.theirs(flags(FIN))[0]
    assert all(s.ack != after(fin) for s in leg.ours())
    peers.lift(rule)
    leg.answer(lambda s: s.ack == after(fin))
    told = peers.passed(leg.far_side, False, lambda s: s.ack == after(relayed))[0]
    ours = peers.passed(leg.side, True, lambda s: s.ack == after(fin))[0]
    assert peers.segments.index(told) < peers.segments.index(ours)


@PROXIED
def test_data_for_a_linux_that_has_closed_is_reset_to_its_sender(leg):
    peers = leg.at_rest().peers
    leg.near.close()
    peers.ended(leg.far)
    peers.push(leg.far, b"anybody there?")
    # after the end of the stream Linux reports a reset to writers only
    error = peers.until(lambda: leg.far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "an error")
    assert error in (errno.ECONNRESET, errno.EPIPE)
    assert leg.theirs(flags(RST)) and peers.passed(leg.far_side, True, flags(RST))


@pytest.mark.parametrize("leg", ["E"], indirect=True)
def test_data_for_an_endpoint_that_is_gone_is_reset(leg):
    used = leg.peers.testbed.sim.read(0, "in_use")
    peers = leg.at_rest().peers
    leg.near.shutdown(socket.SHUT_WR)
    peers.ended(leg.near)
    peers.until(lambda: peers.testbed.sim.read(0, "in_use") == used, "the end of the connection")
    peers.mark()
    leg.forge(payload=b"anybody there?")
    assert leg.answer(flags(RST)).seq == parse_segment(peers.last[leg.side, False]).ack


@pytest.mark.parametrize("leg", ["C"], indirect=True)
def test_simultaneous_close(leg):
    peers = leg.at_rest().peers
    for made in (leg.near, leg.far):
        made.shutdown(socket.SHUT_WR)
    peers.ended(leg.near)
    peers.ended(leg.far)
    links = [(port, from_pair) for port in (CLIENT, SERVER) for from_pair in (False, True)]
    peers.until(lambda: all(peers.passed(*link, flags(FIN)) for link in links), "four FINs")
    assert not any(peers.passed(*link, flags(RST)) for link in links)


def test_a_fin_counts_only_when_the_gap_before_it_is_filled(leg):
    peers = leg.at_rest().peers
    lost = leg.once(False, lambda s: s.payload and not s.flags & FIN)
    data = peers.bytes(700)
    peers.push(leg.near, data)
    peers.until(lambda: lost, "the segment to lose")
    leg.near.shutdown(socket.SHUT_WR)
    peers.arrived(leg.far, data)
    peers.ended(leg.far)


@PROXIED
def test_a_fin_that_comes_again_in_time_wait_is_acknowledged_again(leg):
    """The pair's FIN went first on this leg; Linux's own FIN, repeated when our ACK of it is lost, meets TIME-WAIT."""
    peers = leg.at_rest().peers
    leg.far.shutdown(socket.SHUT_WR)
    peers.ended(leg.near)
    peers.settle()
    peers.mark()
    leg.near.shutdown(socket.SHUT_WR)
    fin = peers.until(lambda: leg.theirs(flags(FIN)), "Linux's FIN")[0]
    leg.once(True, lambda s: s.ack == after(fin))
    peers.until(lambda: len(leg.theirs(flags(FIN))) >= 2, "Linux's second FIN")
    peers.until(lambda: len(leg.ours(lambda s: s.ack == after(fin))) >= 2, "the second ACK")
    peers.ended(leg.far)


@pytest.mark.parametrize("first", [0xFFFFFF00, 0xFFFF_FFFF, 0xFFFF_F000])
def test_sequence_numbers_of_linux_wrap_in_data_sack_and_fin(leg, first):
    """On the leg of the server by a simultaneous open: a socket that listens does not let its numbers be chosen."""
    peers = leg.peers
    leg.near = peers.socket(leg.side)
    for option, value in ((TCP_REPAIR, 1), (TCP_REPAIR_QUEUE, SEND_QUEUE), (TCP_QUEUE_SEQ, first - (1 << 32)),
                          (TCP_REPAIR, 0)):
        leg.near.setsockopt(socket.IPPROTO_TCP, option, struct.pack("i", value))
    leg.near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)      # TCP_REPAIR has taken it away
    if leg.name == "V":
        simultaneous_open(leg)
    else:
        listener = peers.listen()
        peers.dial(leg.near, port=leg.port)
        leg.far = leg.near if leg.name == "E" else peers.accept(listener)
    assert leg.theirs(flags(SYN))[0].seq in (first, (first + 1) & 0xFFFFFFFF)
    leg.once(False, with_data, lambda data: [(30_000, data)])
    leg.works(10_000)
    assert leg.theirs()[-1].seq < first
    leg.near.shutdown(socket.SHUT_WR)
    peers.ended(leg.far)
