"""Frames with mutated headers, by seed, some ten thousand a second.

The checksums of most are corrected, so that the checks behind them are reached. Strangers send all but a few. Those few
belong to a living connection and lie far outside its window, and so do the segments that ICMP messages quote.
"""
import random
import struct

from ..checker.wire import ACK, FIN, RST, SYN
from ..peers.frames import Arp, arp_frame, ip_number, tcp_frame

__all__ = ["hostile_frames", "correct_checksums"]

PSH, URG = 8, 32
VLAN, IPV6 = 0x8100, 0x86DD        # EtherTypes
TCP_PROTOCOL, ICMP_PROTOCOL = 6, 1
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
    """Set the IP and, if wanted, the TCP or ICMP checksum as the frame's lengths say, none if these lead outside."""
    header = (frame[14] & 15) * 4 if len(frame) >= 34 else 0
    if header < 20 or 14 + header > len(frame):
        return
    frame[24:26] = b"\0\0"
    struct.pack_into(">H", frame, 24, ~_sum(frame[14:14 + header]) & 0xFFFF)
    start, end = 14 + header, 14 + int.from_bytes(frame[16:18], "big")
    if tcp and frame[23] == ICMP_PROTOCOL and start + 4 <= end <= len(frame):
        frame[start + 2:start + 4] = b"\0\0"
        struct.pack_into(">H", frame, start + 2, ~_sum(frame[start:end]) & 0xFFFF)
        return
    if not tcp or end > len(frame) or end < start + 20:
        return
    frame[start + 16:start + 18] = b"\0\0"
    pseudo = frame[26:34] + struct.pack(">HH", frame[23], end - start)
    struct.pack_into(">H", frame, start + 16, ~_sum(pseudo + frame[start:end]) & 0xFFFF)


def _icmp(rng, pair_mac, mac, ip, target, own):
    """An ICMP message, many about a segment far outside the window of the living connection, or of none."""
    kind = rng.choice((3, 3, 3, 8, 8, 0, 5, 11, 13, 255))
    code = rng.choice((0, 1, 3, 4, 4, 4, 15)) if kind == 3 else int(rng.random() < 0.1)
    message = bytearray(struct.pack(">BBHHH", kind, code, 0, 0, rng.choice((0, 68, 576, 1499, 1500, 65535))))
    if kind == 3:
        quoted = bytearray(own[14:34 + 8] if own is not None else rng.randbytes(28))
        quoted[0], quoted[6:8], quoted[9] = 0x45, b"\x40\0", TCP_PROTOCOL
        quoted[12:16], quoted[16:20] = quoted[16:20], quoted[12:16]
        quoted[20:22], quoted[22:24] = quoted[22:24], quoted[20:22]
        ack = int.from_bytes(own[42:46], "big") if own is not None else 0
        struct.pack_into(">I", quoted, 24, (ack + (1 << 30) + rng.randrange(1 << 29)) % (1 << 32))
        if rng.random() < 0.4:
            at = rng.randrange(len(quoted) - 4)
            quoted[at] = rng.choice(VALUES)
        message += quoted[:rng.choice((28, 28, 28, rng.randrange(28)))]
    message += bytes(rng.choice((0, 0, 20, 300)))
    if rng.random() < 0.1:
        message = message[:rng.randrange(4, 9)]
    frame = bytearray(pair_mac + b"\2" + mac + struct.pack(
        ">HBBHHHBBHII", 0x0800, 0x45, 0, 20 + len(message), 0, 0, 64, ICMP_PROTOCOL, 0, ip, target) + message)
    correct_checksums(frame)
    if rng.random() < 0.1:
        frame[-1] ^= 1
    return bytes(frame)


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
    claims = random.Random(f"hostile/claims/{seed}")
    for _ in range(count):
        if claims.random() < 0.002:             # a stranger claims an address of the pair
            port, mac = claims.randrange(2), b"\2" + claims.randbytes(5)
            address = claims.choice(targets[port])
            yield port, arp_frame(b"\xff" * 6, Arp(2, mac, address, bytes(6), address)), False
            continue
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
        if rng.random() < 0.05:
            yield int(port), _icmp(rng, pair_mac, mac, ip, rng.choice(targets[port]), None if port else own), False
            continue
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
