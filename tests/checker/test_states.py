"""Data states of a run that is written by hand: each milestone at a known cycle."""
import struct

from spps_sim.backend.interface import FrameKind, Mark, RawFrame
from spps_sim.checker.states import STATES, DataStates
from spps_sim.checker.wire import ACK, SYN
from spps_sim.peers.frames import tcp_frame

CLIENT, SERVER, VIP0, VIP1 = (0x0A010002, 40000), (0x0A020002, 80), (0x0A010001, 80), (0x0A020001, 33000)
ISN = {"client": 1000, "pair0": 0xFFFFFFF0, "pair1": 5000, "server": 0x80000000}


def segment(src, dst, seq, ack, flags, payload=b""):
    return tcp_frame(b"\2" * 6, b"\4" * 6, src, dst, seq=seq, ack=ack, flags=flags, window=1000, payload=payload)


def record(number, una_0, una_1):
    """A STATE frame with line 0, laid out from the published table."""
    header = struct.pack("!BxHIHHBBHIIIQ6x", 4, 0, number, 3, 1, 1, 0, 32, 0, 0, 0, number)
    line = struct.pack("!8I", 0, 0, una_0 & 0xFFFFFFFF, 0, una_1 & 0xFFFFFFFF, 0, 0, 0) + bytes(8)
    return bytes(12) + b"\x88\xb5" + header + line


def made_up_run():
    """100 bytes from client to server, each milestone at a known cycle; a timer event falls in between."""
    n, length = ISN, 100
    data_in = segment(CLIENT, VIP0, n["client"] + 1, n["pair0"] + 1, ACK, bytes(length))
    data_out = segment(VIP1, SERVER, n["pair1"] + 1, n["server"] + 1, ACK, bytes(length))
    ack_in = segment(SERVER, VIP1, n["server"] + 1, n["pair1"] + 1 + length, ACK)
    ack_out = segment(VIP0, CLIENT, n["pair0"] + 1, n["client"] + 1 + length, ACK)
    frames = [
        RawFrame(FrameKind.IN, 0, 10, 10, segment(CLIENT, VIP0, n["client"], 0, SYN)),
        RawFrame(FrameKind.OUT, 1, 20, 20, segment(VIP1, SERVER, n["pair1"], 0, SYN)),
        RawFrame(FrameKind.IN, 1, 30, 30, segment(SERVER, VIP1, n["server"], n["pair1"] + 1, SYN | ACK)),
        RawFrame(FrameKind.OUT, 0, 40, 40, segment(VIP0, CLIENT, n["pair0"], n["client"] + 1, SYN | ACK)),
        RawFrame(FrameKind.IN, 0, 110, 120, data_in), RawFrame(FrameKind.OUT, 1, 190, 200, data_out),
        RawFrame(FrameKind.IN, 1, 250, 250, ack_in),
        RawFrame(FrameKind.SYNC0, 0, 320, 330, record(8, n["pair0"] + 1, n["pair1"] + 1 + length)),
        RawFrame(FrameKind.OUT, 0, 400, 400, ack_out),
    ]
    wire = [(100, 0, "sent", data_in), (220, 1, "received", data_out), (221, 1, "sent", ack_in),
            (420, 0, "received", ack_out)]
    marks = [Mark(15, "delivered_0", 1), Mark(35, "delivered_0", 2), Mark(60, "delivered_0", 3),
             Mark(140, "delivered_0", 4), Mark(280, "delivered_0", 5), Mark(300, "issued_0", 8),
             Mark(360, "confirmed_0", 8)]
    return frames, wire, marks


def test_each_of_the_eleven_states_has_its_interval():
    states = DataStates(*made_up_run())
    expected = {1: (0, 100), 2: (120, 140), 3: (140, 200), 4: (200, 220), 5: (220, 250), 6: (250, 280), 7: (280, 300),
                8: (300, 320), 9: (320, 360), 10: (360, 400), 11: (400, 420)}
    assert {s: states.intervals[0, s] for s in STATES} == {s: [expected[s]] for s in STATES}
    assert not any(states.intervals[1, s] for s in STATES)
    assert states.at(99, 0) == [1] and states.at(110, 0) == [] and states.at(360, 0) == [10] and states.at(500, 0) == []
    assert states.cycles(7, 0) == list(range(280, 300))


def test_states_need_their_own_record():
    frames, wire, marks = made_up_run()
    frames[7] = frames[7]._replace(data=record(8, ISN["pair0"] + 1, ISN["pair1"] + 100))      # one byte short
    states = DataStates(frames, wire, marks)
    assert [s for s in STATES if states.intervals[0, s]] == [1, 2, 3, 4, 5, 6, 11]
