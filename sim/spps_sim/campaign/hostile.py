"""Frames with mutated headers, by seed, some ten thousand a second.

The checksums of most are corrected, so that the checks behind them are reached. Strangers send all but a few. Those few
belong to a living connection and lie far outside its window.
"""
import random
import struct

from ..checker.wire import ACK, FIN, RST, SYN
from ..peers.frames import ip_number, tcp_frame

__all__ = ["hostile_frames", "correct_checksums"]

PSH, URG = 8, 32
VLAN, IPV6 = 0x8100, 0x86DD        # EtherTypes
OPTIONS = (b"", b"\1\1\x08\x0a" + bytes(8), b"\2\4\5\xb4", b"\2\4\5\xb4\4\2\1\3\3\7\1\1",
           b"\5\x0a" + bytes(8) + b"\1\1", b"\1" * 40, b"\2\0\0\0", b"\xfe\xff\0\0", b"\3\x28\0\0", b"\x08\x0a\0\0")
FLAGS = (ACK, ACK | PSH, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK, 0, FIN | PSH | URG, SYN | FIN, SYN | RST, 0xFF)
VALUES = (0, 1, 2, 4, 6, 0x0F, 17, 0x40, 0x44, 0x46, 0x4F, 0x50, 0x7F, 0x80, 0xE0, 0xF0, 0xFF)
HEADERS = 14 + 20 + 20 + 12       # bytes of which a mutation takes one


def _sum(octets):
    total = sum(struct.unpack_from(f">{len(octets) // 2}H", octets)) + (octets[-1] << 8 if len(octets) % 2 else 0)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def correct_checksums(frame, tcp=True):
    """Set the IP and, if wanted, the TCP checksum as the frame's lengths say; nothing where these lead outside."""
    header = (frame[14] & 15) * 4 if len(frame) >= 34 else 0
    if header < 20 or 14 + header > len(frame):
        return
    frame[24:26] = b"\0\0"
    struct.pack_into(">H", frame, 24, ~_sum(frame[14:14 + header]) & 0xFFFF)
    start, end = 14 + header, 14 + int.from_bytes(frame[16:18], "big")
    if not tcp or end > len(frame) or end < start + 20:
        return
    frame[start + 16:start + 18] = b"\0\0"
    pseudo = frame[26:34] + struct.pack(">HH", frame[23], end - start)
    struct.pack_into(">H", frame, start + 16, ~_sum(pseudo + frame[start:end]) & 0xFFFF)


def hostile_frames(count, seed, pair_mac, targets, own=None):
    """Yield (port, frame, err) `count` times.

    Parameters
    ----------
    count, seed : int
        Number of frames, and seed of the mutations.
    pair_mac : bytes
        MAC address of the pair.
    targets : list
        For each port the IPv4 numbers of the pair there.
    own : bytes, optional
        A frame of a living connection, from port 0.
    """
    rng = random.Random(f"hostile/{seed}")
    strangers = [(rng.randbytes(5), ip_number(f"10.9.{n}.{n + 3}")) for n in range(50)]
    for _ in range(count):
        port = rng.random() < 0.3
        if own is not None and rng.random() < 0.02:
            frame = bytearray(own)
            far = (int.from_bytes(own[38:42], "big") + (1 << 30) + rng.randrange(1 << 29)) % (1 << 32)
            struct.pack_into(">I", frame, 38, far)
            frame[47] = rng.choice(FLAGS)
            correct_checksums(frame)
            yield 0, bytes(frame), False
            continue
        mac, ip = rng.choice(strangers)
        frame = bytearray(tcp_frame(
            pair_mac, b"\2" + mac, (ip, rng.randrange(1, 65536)), (rng.choice(targets[port]), 81),
            seq=rng.getrandbits(32), ack=rng.getrandbits(32), flags=rng.choice(FLAGS), window=rng.getrandbits(16),
            payload=bytes(rng.choice((0, 0, 1, 6, 20))), options=rng.choice(OPTIONS)))
        kind = rng.random()
        if kind < 0.1:
            frame = frame[:rng.randrange(1, len(frame))]
        elif kind < 0.2:                        # total length just misses, either way
            length = int.from_bytes(frame[16:18], "big") + rng.choice((-40, -1, 1, 40))
            struct.pack_into(">H", frame, 16, length & 0xFFFF)
        elif kind < 0.23:                       # in the name of the pair
            target = rng.choice(targets[rng.randrange(2)])
            frame[6:12], frame[26:30] = rng.choice(((pair_mac, frame[26:30]), (frame[6:12], target.to_bytes(4, "big"))))
            if rng.random() < 0.5:
                frame[34:36] = frame[36:38]     # land, if the addresses are the same
        else:
            for _ in range(rng.choice((1, 1, 2, 3))):
                at = rng.randrange(min(HEADERS, len(frame)))
                frame[at] = rng.choice(VALUES) if rng.random() < 0.7 else rng.getrandbits(8)
        if rng.random() < 0.8:
            correct_checksums(frame, tcp=rng.random() < 0.75)
        kind = rng.random()
        if kind < 0.04:
            vlan = rng.choice((0, 0, 1, rng.randrange(4096)))
            frame[12:12] = struct.pack(">HH", VLAN, vlan | rng.randrange(16) << 12)
        elif kind < 0.05:
            frame[12:14] = struct.pack(">H", IPV6)
        yield int(port), bytes(frame), rng.random() < 0.01
