"""Random frames for the splitter, built by scapy, and mutations of their headers."""
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import checksum

MAC = 0x02005E5D5001
MAC_TEXT = "02:00:5e:5d:50:01"
PEER = "02:11:22:33:44:55"
VIPS = 0xC0A800FE, 0xAC100001           # 192.168.0.254, 172.16.0.1
VLANS = 100, 4094, 0                    # of the networks; the last has none

_OPTIONS = (
    [], [("NOP", None), ("NOP", None), ("Timestamp", (0x11223344, 0x55667788))],
    [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7)],
    [("MSS", 536)], [("WScale", 15), ("NOP", None)], [("NOP", None)] * 40,
    [("NOP", None), ("NOP", None), ("SAck", (100, 200, 300, 400))],
    [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None), ("SAck", (0xFFFFFF00, 16))],
    [("MSS", 1400), ("EOL", None)],
    [(254, b"\x12\x34\x56"), ("NOP", None), ("NOP", None), ("MSS", 1300), ("NOP", None)],
)


#: another host, one bit away from ours at either end, our neighbour's and our subnet's broadcast, the subnet itself
NOT_OURS = "8.8.8.8", "192.168.0.255", "64.168.0.254", "192.168.0.0", "172.16.0.0", "172.16.255.255"


def text(address):
    """An IP address in dotted form."""
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


def number(address):
    """A dotted IP address as a number."""
    return int.from_bytes(bytes(map(int, address.split("."))), "big")


def tag(frame, vlan, priority=0, kind=0x8100):
    """The same frame with a VLAN tag; priority: three bits and drop eligible."""
    return frame[:12] + kind.to_bytes(2, "big") + (priority << 12 | vlan).to_bytes(2, "big") + frame[12:]


def tcp_frame(rng, size=None, network=0):
    """A valid TCP frame to our address on a network; size: bytes of payload."""
    size = rng.choice((0, 0, 1, 2, 3, 5, 6, 7, 16, rng.randrange(100), rng.randrange(1400))) if size is None else size
    options = rng.choice(_OPTIONS)
    flags = rng.choice(("S", "SA", "A", "PA", "FA", "R", "FPUA", "SEC", "F", "SF", "SR", ""))
    ip = IP(src=f"10.0.{rng.randrange(256)}.{rng.randrange(1, 255)}", dst=text(VIPS[network]),
            tos=rng.choice((0, 0, 3, 0xB8)), id=rng.randrange(65536), ttl=rng.randrange(1, 256),
            options=rng.choice(([], [], [], b"\x94\x04\x00\x00", b"\x01" * rng.randrange(1, 41))))
    tcp = TCP(sport=rng.randrange(1, 65536), dport=rng.randrange(1, 65536), seq=rng.randrange(1 << 32),
              ack=rng.randrange(1 << 32), flags=flags, window=rng.randrange(65536), options=options)
    frame = bytes(Ether(src=PEER, dst=MAC_TEXT) / ip / tcp / Raw(rng.randbytes(size)))
    if len(frame) < 60 and rng.random() < 0.7:
        frame += rng.randbytes(60 - len(frame))         # padding, not always zero
    return frame


def arp_frame(rng, network=0, senders=()):
    """A valid ARP frame; those are taken for any address. senders: IP addresses of senders, as text."""
    frame = bytes(Ether(src=PEER, dst=rng.choice(("ff:ff:ff:ff:ff:ff", MAC_TEXT)))
                  / ARP(op=rng.choice((1, 2)), hwsrc=PEER,
                        psrc=rng.choice(senders) if senders else f"10.0.0.{rng.randrange(256)}",
                        pdst=rng.choice(("10.0.0.1", text(VIPS[network])))))
    return frame + bytes(rng.choice((0, 18)))


def conflict_frame(rng, network=0):
    """ARP of somebody else who has an address of ours, on either network."""
    return arp_frame(rng, network, [text(vip) for vip in VIPS])


def icmp_message(kind, code=0, rest=b"", body=b"", wrong=0):
    """An ICMP message; rest: four bytes behind the checksum; wrong: is added to the checksum."""
    message = bytearray(bytes([kind, code, 0, 0]) + rest.ljust(4, b"\0") + body)
    message[2:4] = ((checksum(bytes(message)) + wrong) & 0xFFFF).to_bytes(2, "big")
    return bytes(message)


def icmp_frame(message, network=0, **ip):
    """A frame with an ICMP message for our address on a network; ip: fields of IP."""
    fields = {"src": "10.1.1.1", "dst": text(VIPS[network]), "proto": 1} | ip
    return bytes(Ether(src=PEER, dst=MAC_TEXT) / IP(**fields) / Raw(message))


def quote(rng, network=0, size=8, **ip):
    """What a router quotes of a segment of ours: an IP header and `size` bytes."""
    fields = {"src": text(VIPS[network]), "dst": "10.1.2.3", "flags": "DF", "proto": 6} | ip
    return bytes(IP(**fields) / Raw(rng.randbytes(1400)))[:fields.get("ihl", 5) * 4 + size]


def unreachable(rng, code=4, mtu=1280, network=0, size=8, **ip):
    """An ICMP destination unreachable message (RFC 1191 §4) about a segment of ours; size, ip: see `quote`."""
    return icmp_message(3, code, mtu.to_bytes(4, "big"), quote(rng, network, size, **ip))


def icmp_traffic(rng, network=0):
    """A frame with an ICMP message, most of them good."""
    options = rng.choice(([], [], b"\x01" * rng.randrange(1, 41)))
    message = rng.choice((
        lambda: icmp_message(8, rest=rng.randbytes(4), body=rng.randbytes(rng.choice((0, 1, 7, 56, 1400)))),
        lambda: icmp_message(8, rest=rng.randbytes(4), body=rng.randbytes(rng.randrange(1440))),
        lambda: unreachable(rng, rng.randrange(16), rng.randrange(65536), network, rng.choice((8, 8, 20, 500))),
        lambda: unreachable(rng, size=rng.randrange(-20, 8), network=network),
        lambda: unreachable(rng, network=network, **rng.choice((
            {"proto": 17}, {"frag": 3}, {"flags": "MF"}, {"version": 6}, {"ihl": 6}, {"ihl": 15}, {"ihl": 4}))),
        lambda: icmp_message(0, body=rng.randbytes(40)),
        lambda: icmp_message(rng.choice((0, 4, 5, 9, 11, 12, 13, 30, 255)), rng.randrange(2), body=rng.randbytes(40)),
        lambda: icmp_message(8, code=1), lambda: icmp_message(8, wrong=rng.choice((1, 255, 256))),
        lambda: icmp_message(8)[:rng.randrange(8)],
    ))()
    return icmp_frame(message, network, options=options, src=f"10.1.1.{rng.randrange(1, 255)}",
                      id=rng.randrange(65536), tos=rng.choice((0, 0xB8, 3)))


def odd_frame(rng, network=0):
    """A frame that is no event, or an event only without `tcp_flag_filter`."""
    ours, other = (text(vip) for vip in (VIPS[network], VIPS[1 - network]))
    ether = Ether(src=PEER, dst=MAC_TEXT)
    ip = IP(src="10.1.1.1", dst=ours)
    return bytes(rng.choice((
        *(ether / ip / UDP(sport=n, dport=2) / Raw(rng.randbytes(30)) for n in (1, 2, 3)),
        ether / ip / ICMP() / Raw(rng.randbytes(30)),
        Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ip / ICMP(), ether / IP(src=ours, dst=ours) / ICMP(),
        ether / IP(src="10.1.1.1", dst="255.255.255.255") / ICMP(),
        ether / IP(src="10.1.1.1", dst=ours, flags="MF") / ICMP() / Raw(rng.randbytes(40)),
        ether / IP(src="10.1.1.1", dst=ours, flags="MF") / Raw(rng.randbytes(40)),
        ether / IP(src="10.1.1.1", dst=ours, frag=5, proto=6) / Raw(rng.randbytes(40)),
        ether / IP(src="224.0.0.1", dst=ours) / TCP(), ether / IP(src="10.1.1.1", dst="255.255.255.255") / TCP(),
        *(ether / IP(src=ours, dst=ours) / TCP(sport=n, dport=n) for n in (9, 10, 11)),
        ether / IP(src="10.1.1.1", dst=ours, proto=47) / Raw(rng.randbytes(40)),
        Ether(src=PEER, dst="02:00:00:00:00:09") / ip / TCP(), Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ip / TCP(),
        *(ether / IP(src=source, dst=ours) / TCP() for source in ("192.168.0.254", "172.16.0.1")),
        Ether(src=MAC_TEXT, dst=MAC_TEXT) / ip / TCP(), ether / ip / TCP(sport=0), ether / ip / TCP(dport=0),
        *(ether / ip / TCP(flags=flags) for flags in ("", "FPU", "F", "SF", "SR", "FSRPAUEC")),
        Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=PEER, psrc="172.16.0.1", pdst="10.0.0.1"),
        *(ether / ARP(op=rng.choice((1, 2)), hwsrc=mac, psrc="10.0.0.7", pdst=ours)
          for mac in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", MAC_TEXT)),
        Ether(src="ff:ff:ff:ff:ff:ff", dst=MAC_TEXT) / ip / TCP(),
        *(Ether(src=PEER, dst=MAC_TEXT, type=kind) / Raw(rng.randbytes(46)) for kind in (0x86DD, 0x88A8, 0x9000)),
        *(ether / IP(src="10.1.1.1", dst=to) / TCP() / Raw(rng.randbytes(9)) for to in NOT_OURS),
        ether / IP(src="10.1.1.1", dst=other) / TCP(),
    )))


def mutate(rng, frame):
    """The same frame with header bytes changed or its end cut; sometimes with the checksums made right again."""
    octets = bytearray(frame)
    if rng.random() < 0.15:
        return bytes(octets[:rng.randrange(1, len(octets) + 1)])
    kind = rng.random()
    if kind < 0.1 and len(octets) > 18:             # the total length just misses
        total = int.from_bytes(octets[16:18], "big") + rng.choice((-1, 1))
        octets[16:18] = (total & 0xFFFF).to_bytes(2, "big")
    elif kind < 0.25 and len(octets) > 56 and octets[14] == 0x45 and octets[46] >> 4 > 5:     # an option just misses
        at = rng.randrange(54, min(34 + (octets[46] >> 4) * 4, len(octets)))
        octets[at] = (octets[at] + rng.choice((-1, 1))) % 256
    else:
        _scribble(rng, octets)
    if rng.random() < 0.7:
        fix_ip(octets)
        if rng.random() < 0.8:
            fix_tcp(octets)
    return bytes(octets)


def _scribble(rng, octets):
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        octets[rng.randrange(min(len(octets), 80))] = rng.choice((0, 1, 2, 4, 0x45, 0x50, 0xFF, rng.randrange(256)))


def fix_ip(octets):
    header = (octets[14] & 15) * 4 if len(octets) > 14 else 0
    if header >= 20 and len(octets) >= 14 + header:
        octets[24:26] = b"\0\0"
        total = sum(int.from_bytes(octets[n:n + 2], "big") for n in range(14, 14 + header, 2))
        octets[24:26] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")


def fix_tcp(octets):
    """Let scapy compute the checksum that the changed segment, or ICMP message, should have."""
    header = (octets[14] & 15) * 4 if len(octets) > 14 else 0
    end = 14 + int.from_bytes(octets[16:18], "big")
    start = 14 + header
    if header < 20 or end > len(octets) or end < start + 20 or octets[23] not in (1, 6):
        return
    if octets[23] == 1:
        octets[start + 2:start + 4] = b"\0\0"
        octets[start + 2:start + 4] = checksum(bytes(octets[start:end])).to_bytes(2, "big")
        return
    octets[start + 16:start + 18] = b"\0\0"
    pseudo = bytes(octets[26:34]) + b"\0\x06" + (end - start).to_bytes(2, "big")
    octets[start + 16:start + 18] = checksum(pseudo + bytes(octets[start:end])).to_bytes(2, "big")


def in_vlan(rng, frame, network):
    """(the same frame with a tag, or two, or cut in it; the port that it comes from)."""
    vlan = rng.choice((0, VLANS[network], VLANS[network], rng.randrange(4096)))
    priority, port = rng.randrange(16), rng.randrange(3)
    if rng.random() < 0.1:
        frame = tag(frame, rng.choice(VLANS))
    frame = tag(frame, vlan, priority, 0x88A8 if rng.random() < 0.02 else 0x8100)
    if rng.random() < 0.1:
        frame = frame[:rng.randrange(10, 22)]
    return frame, port if rng.random() < 0.8 and vlan else network


def traffic(rng, count, mutated=0.5, tagged=0.3):
    """`count` frames as (bytes, port, err)."""
    for _ in range(count):
        network = rng.randrange(2)
        frame = rng.choices((tcp_frame, arp_frame, conflict_frame, icmp_traffic, odd_frame),
                            (14, 2, 1, 4, 4))[0](rng, network=network)
        if rng.random() < mutated:
            frame = mutate(rng, frame)
        frame, port = in_vlan(rng, frame, network) if rng.random() < tagged else (frame, network)
        if rng.random() < 0.02:
            port = rng.randrange(3)
        yield frame, port, rng.random() < 0.02
