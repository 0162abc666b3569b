"""Segments of Linux and of the pair as tests look at and change them."""
import struct

from spps_sim.checker.wire import FIN, RST, SYN, before, ones_sum, parse_segment
from spps_sim.peers.frames import tcp_frame

__all__ = ["raw_options", "rebuilt", "after", "patched", "scale", "edge", "latest", "flags", "pure_ack", "with_data",
           "probe"]


def raw_options(data):
    """The bytes of the TCP options of a frame."""
    header = 14 + (data[14] & 15) * 4
    return data[header + 20:header + (data[header + 12] >> 4) * 4]


def rebuilt(data, **changes):
    """The frame with fields of its segment replaced and checksums to match; `options` are the raw bytes."""
    segment = parse_segment(data)
    fields = {"seq": segment.seq, "ack": segment.ack, "flags": segment.flags, "window": segment.window,
              "payload": segment.payload, "options": raw_options(data)} | changes
    return tcp_frame(data[:6], data[6:12], segment.src, segment.dst, **fields)


def after(segment):
    """The number behind a segment."""
    return (segment.seq + segment.length) & 0xFFFFFFFF


def patched(data, old, new):
    """The frame with bytes of its TCP options exchanged, the checksum with them (RFC 1624), and nothing else."""
    header = 14 + (data[14] & 15) * 4
    at = data.index(old, header + 20)
    out = bytearray(data)
    out[at:at + len(old)] = new
    words = slice(at & ~1, at + len(old) + 1 & ~1)
    checksum, = struct.unpack_from("!H", data, header + 16)
    total = struct.pack("!3H", checksum ^ 0xFFFF, ones_sum(data[words]) ^ 0xFFFF, ones_sum(bytes(out[words])))
    struct.pack_into("!H", out, header + 16, ones_sum(total) ^ 0xFFFF)
    return bytes(out)


def scale(segments):
    """The shift that a SYN of these offers."""
    return next(s for s in segments if s.flags & SYN).options[3][0]


def edge(segment, shift):
    """The right edge that a segment gives."""
    return (segment.ack + (segment.window << (0 if segment.flags & SYN else shift))) & 0xFFFFFFFF


def latest(numbers):
    """The last of sequence numbers in circular order."""
    numbers = iter(numbers)
    found = next(numbers)
    for number in numbers:
        found = number if before(found, number) else found
    return found


def flags(*names):
    """A predicate: all of these flags, e.g. SYN, are set."""
    want = sum(names)
    return lambda segment: segment.flags & want == want


def pure_ack(segment):
    return segment.flags & (SYN | FIN | RST) == 0 and not segment.payload


def with_data(segment):
    return len(segment.payload) > 0


def probe(segment):
    """One byte, as into a closed window."""
    return len(segment.payload) == 1
