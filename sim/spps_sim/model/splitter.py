"""Reference model of the message splitter: bytes of a frame in, verdict, event and payload out.

Offsets are those of the standards: Ethernet II, IEEE 802.1Q (VLAN tag), RFC 826 (ARP), RFC 791 (IPv4), RFC 9293 (TCP),
RFC 7323 and RFC 2018 (options), RFC 792 and RFC 1191 (ICMP).
"""
import struct
from collections import Counter

__all__ = ["checksum", "parse_options", "split", "Splitter"]

TCP_KIND, ARP_KIND, ICMP_KIND = 1, 2, 3
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
MSS, WSCALE, SACK_PERMITTED, TIMESTAMP, SACK = 1, 2, 4, 8, 16


def checksum(octets):
    """RFC 1071: ones-complement sum of 16-bit words, complemented; 0 over data that holds its right checksum."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse_options(octets, syn):
    """Return the event fields of TCP options; what follows a malformed option is ignored."""
    found = {"mss": 0, "wscale": 0, "options": 0, "ts_val": 0, "ts_ecr": 0, "sack_left": 0, "sack_right": 0}
    at = 0
    while at < len(octets):
        kind = octets[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(octets):
            break
        length = octets[at + 1]
        body = octets[at + 2:at + length]
        if length < 2 or at + length > len(octets):
            break
        fixed = {2: 4, 3: 3, 4: 2, 8: 10}
        if kind in fixed and length != fixed[kind] or kind == 5 and (length < 10 or length % 8 != 2):
            break
        if kind == 2 and syn:
            found["mss"] = int.from_bytes(body, "big")
            found["options"] |= MSS
        elif kind == 3 and syn:
            found["wscale"] = min(body[0], 14)
            found["options"] |= WSCALE
        elif kind == 4 and syn:
            found["options"] |= SACK_PERMITTED
        elif kind == 8:
            found["ts_val"], found["ts_ecr"] = struct.unpack(">II", body)
            found["options"] |= TIMESTAMP
        elif kind == 5:
            found["sack_left"], found["sack_right"] = struct.unpack(">II", body[:8])
            found["options"] |= SACK
        at += length
    return found


def _is_host(address):
    return 0 < address[0] < 224 and address[0] != 127


def _split_arp(frame, port, own, conflicts):
    if frame[14:20] != bytes([0, 1, 8, 0, 6, 4]) or frame[20:22] not in (b"\0\1", b"\0\2"):
        return "arp_malformed", None, b""
    sender, sender_ip, target_ip = frame[22:28], frame[28:32], frame[38:42]
    if sender[0] & 1 or not any(sender):
        return "arp_malformed", None, b""
    if conflicts(sender, sender_ip):
        return "address_conflict", None, b""
    if own(frame[6:12], sender_ip) or own(sender, sender_ip):
        return "own_address", None, b""
    return "events", {
        "kind": ARP_KIND, "subtype": frame[21], "iface": port,
        "src_ip": int.from_bytes(sender_ip, "big"), "dst_ip": int.from_bytes(target_ip, "big"),
        "src_mac_hi": int.from_bytes(sender[:2], "big"), "src_mac_lo": int.from_bytes(sender[2:], "big"),
    }, b""


def _split_tcp(segment, source, destination, own, tcp_flag_filter):
    """Return verdict, event fields and payload of a segment."""
    if len(segment) < 20:
        return "tcp_offset", None, b""
    source_port, destination_port, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", segment[:16])
    header = (offset >> 4) * 4
    if header < 20 or header > len(segment):
        return "tcp_offset", None, b""
    if checksum(source + destination + struct.pack(">BBH", 0, 6, len(segment)) + segment):
        return "tcp_checksum", None, b""
    if source == destination and source_port == destination_port:
        return "land", None, b""
    if own:
        return "own_address", None, b""
    if source_port == 0 or destination_port == 0:
        return "tcp_port", None, b""
    if tcp_flag_filter and (not flags & (ACK | SYN | RST) or flags & SYN and flags & (FIN | RST)):
        return "tcp_flags", None, b""
    payload = segment[header:]
    options = parse_options(segment[20:header], bool(flags & SYN))
    return "events", {
        "kind": TCP_KIND, "src_port": source_port, "dst_port": destination_port, "seq": seq, "ack": ack,
        "window": window, "tcp_flags": flags, "payload_len": len(payload), "filled": int(len(payload) > 0),
        "plain": int(flags in (0x10, 0x18) and options["options"] in (0, TIMESTAMP)),
        "stamped": int(options["options"] & TIMESTAMP > 0), **options,
    }, payload


def _split_icmp(message, own):
    """Return verdict and event fields of a message."""
    if len(message) < 8:
        return "icmp_length", None
    if checksum(message):
        return "icmp_checksum", None
    if own:
        return "own_address", None
    kind, code, _, _, next_mtu = struct.unpack(">BBHHH", message[:8])
    if kind == 0:
        return "icmp_reply", None
    if (kind, code) == (8, 0):
        return "icmp_echo", None
    if kind != 3:
        return "icmp_type", None
    quoted = message[8:]
    if len(quoted) < 28:                # an IP header and 64 bits
        return "icmp_quote_short", None
    version, _, total, _, fragment, _, protocol, _, source, destination = struct.unpack(">BBHHHBBHII", quoted[:20])
    if version != 0x45 or protocol != 6 or fragment & 0x3FFF:
        return "icmp_quote", None
    source_port, destination_port, seq = struct.unpack(">HHI", quoted[20:28])
    return "events", {"kind": ICMP_KIND, "subtype": code, "mss": next_mtu, "window": total, "src_ip": destination,
                      "dst_ip": source, "src_port": destination_port, "dst_port": source_port, "seq": seq}


def _split_ip(frame, port, own, vips, tcp_flag_filter):
    packet = frame[14:]
    header = (packet[0] & 15) * 4
    total = int.from_bytes(packet[2:4], "big")
    fragment = int.from_bytes(packet[6:8], "big")
    protocol, source, destination = packet[9], packet[12:16], packet[16:20]
    for verdict, failed in (
        ("ip_version", packet[0] >> 4 != 4), ("ip_header_length", header < 20 or header > total),
        ("ip_length", total > len(packet)),
    ):
        if failed:
            return verdict, None, b""
    for verdict, failed in (
        ("ip_checksum", checksum(packet[:header])), ("source_address", not _is_host(source)),
        ("destination_address", not _is_host(destination)),
        ("not_our_address", port >= len(vips) or vips[port] == 0 or int.from_bytes(destination, "big") != vips[port]),
        ("ip_fragment", fragment & 0x3FFF),
        ("udp", protocol == 17), ("unknown_protocol", protocol not in (1, 6)),
    ):
        if failed:
            return verdict, None, b""
    common = {"iface": port, "protocol": 6, "src_mac_hi": int.from_bytes(frame[6:8], "big"),
              "src_mac_lo": int.from_bytes(frame[8:12], "big")}
    if protocol == 1:
        message = packet[header:total]
        verdict, event = _split_icmp(message, own(frame[6:12], source))
        if verdict == "icmp_echo":
            return verdict, {"mac": int.from_bytes(frame[6:12], "big"), "remote_ip": int.from_bytes(source, "big"),
                             "local_ip": int.from_bytes(destination, "big"), "iface": port}, message
        return verdict, event and event | common, b""
    verdict, event, payload = _split_tcp(packet[header:total], source, destination, own(frame[6:12], source),
                                         tcp_flag_filter)
    if event:
        event |= common | {
            "checks": (header > 20) | (packet[1] & 3 == 3) << 1,
            "src_ip": int.from_bytes(source, "big"), "dst_ip": int.from_bytes(destination, "big"),
        }
    return verdict, event, payload


def split(frame, *, port, mac, vips=(), err=False, vlans=(), tcp_flag_filter=False):
    """Return (verdict, event fields or None, payload).

    verdict: name of a counter, "events" for a good frame. Event fields that are left out are 0. "icmp_echo": fields of
    the request, and the ICMP message.
    vips: own IP address on each network, 0: none. vlans: VLAN identifier of each network, 0: none.
    tcp_flag_filter: drop segments without ACK, SYN and RST, and SYN with FIN or RST.
    """
    def own(source_mac, source_ip):
        """Return whether the frame was sent in our name."""
        address = int.from_bytes(source_ip, "big")
        return int.from_bytes(source_mac, "big") == mac or address != 0 and address in vips

    def conflicts(source_mac, source_ip):
        """Return whether somebody else has our address on this network (RFC 5227 §2.4)."""
        address = int.from_bytes(source_ip, "big")
        return (0 != address in vips[port:port + 1]) and int.from_bytes(source_mac, "big") != mac

    if err:
        return "frame_error", None, b""
    unknown_vlan = False
    if frame[12:14] == b"\x81\x00":     # 802.1Q: 3 bits of priority, drop eligible, 12 bits of VLAN identifier
        vlan = int.from_bytes(frame[14:16], "big") % 4096
        frame = frame[:12] + frame[16:]
        if vlan in vlans and vlan:
            port = vlans.index(vlan)
        unknown_vlan = vlan != 0 and vlan not in vlans
    ethertype = int.from_bytes(frame[12:14], "big") if len(frame) >= 14 else None
    if ethertype is None or len(frame) < {0x0800: 34, 0x0806: 42}.get(ethertype, 14):
        return "runt", None, b""
    if unknown_vlan:
        return "unknown_vlan", None, b""
    if frame[6] & 1:
        return "source_address", None, b""
    if int.from_bytes(frame[:6], "big") != mac and not (ethertype == 0x0806 and frame[0] & 1):
        return "not_for_us", None, b""
    if ethertype == 0x0806:
        return _split_arp(frame, port, own, conflicts)
    if ethertype == 0x0800:
        return _split_ip(frame, port, own, vips, tcp_flag_filter)
    return "ipv6" if ethertype == 0x86DD else "unknown_ethertype", None, b""


class Splitter:
    """`split` with counters."""

    def __init__(self, mac, vips=(), vlans=(), tcp_flag_filter=False):
        self.mac, self.vips, self.vlans, self.tcp_flag_filter = mac, vips, vlans, tcp_flag_filter
        self.count = Counter()
        self.echo = []              # (fields, message) of each good echo request

    def put(self, frame, *, port=0, err=False):
        """Return event fields and payload of one frame, or (None, b"")."""
        verdict, event, payload = split(frame, port=port, mac=self.mac, vips=self.vips, err=err, vlans=self.vlans,
                                        tcp_flag_filter=self.tcp_flag_filter)
        self.count["frames"] += 1
        self.count[verdict] += 1
        if verdict == "icmp_echo":
            self.echo.append((event, payload))
            return None, b""
        return event, payload
