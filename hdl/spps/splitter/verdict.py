"""What becomes of a frame."""
from amaranth.lib import enum

from ..layouts.counted import Counted, CountedMember

__all__ = ["Verdict"]


class Verdict(CountedMember, enum.Enum, shape=6):
    """What becomes of a frame: EVENT, or the first check that fails. Each has a number, and a counter with a text."""

    EVENT = Counted(0, "frames that became an event")
    FRAME_ERROR = Counted(1, "frames with err from the interface: wrong DIP-4, abort, oversize or a lost part")
    RUNT = Counted(2, "frames that end inside the headers that every frame of their EtherType has")
    SOURCE_ADDRESS = Counted(3, "frames from a group MAC address or from an IP address that is no host's")
    NOT_FOR_US = Counted(4, "frames to another unicast MAC address, and broadcast or multicast frames other than ARP")
    UNKNOWN_ETHERTYPE = Counted(5, "frames with an EtherType other than IPv4, IPv6 and ARP")
    ARP_MALFORMED = Counted(
        6, "ARP frames not for IPv4 over Ethernet, no request or reply, or of a sender with MAC address 0 or a group")
    IP_VERSION = Counted(7, "IPv4 frames whose version field is not 4")
    IP_HEADER_LENGTH = Counted(8, "IP headers below 20 bytes or longer than their datagram")
    IP_LENGTH = Counted(9, "IP datagrams longer than their frame")
    IP_CHECKSUM = Counted(10, "IP headers with a wrong checksum")
    DESTINATION_ADDRESS = Counted(11, "IP datagrams to an address that is no host's")
    IP_FRAGMENT = Counted(12, "IP fragments")
    ICMP_TYPE = Counted(13, "ICMP messages other than echo request, echo reply and destination unreachable")
    UDP = Counted(14, "UDP datagrams")
    UNKNOWN_PROTOCOL = Counted(15, "IP datagrams of a protocol other than TCP, UDP and ICMP")
    TCP_OFFSET = Counted(16, "TCP segments shorter than their header, or with a header below 20 bytes")
    TCP_CHECKSUM = Counted(17, "TCP segments with a wrong checksum")
    LAND = Counted(18, "TCP segments whose source address and port are also their destination")
    PAYLOAD_LENGTH = Counted(19, "TCP segments of whose payload the scratchpad counted another number of bytes")
    SCRATCHPAD_FULL = Counted(20, "TCP segments whose payload found no page in the scratchpad")
    TCP_FLAGS = Counted(21, "TCP segments that `tcp_flag_filter` drops for their flags")
    TCP_PORT = Counted(22, "TCP segments from or to port 0")
    OWN_ADDRESS = Counted(23, "frames sent in our name: their MAC or IP address, or one of an ARP sender, is ours")
    NOT_OUR_ADDRESS = Counted(24, "IP datagrams to an address that is not ours on their network")
    UNKNOWN_VLAN = Counted(25, "frames with a VLAN tag that names no network")
    IPV6 = Counted(26, "IPv6 frames")
    ICMP_LENGTH = Counted(27, "ICMP messages shorter than their header")
    ICMP_CHECKSUM = Counted(28, "ICMP messages with a wrong checksum")
    ICMP_REPLY = Counted(29, "ICMP echo replies, of which none was asked for")
    ICMP_ECHO = Counted(30, "ICMP echo requests, for the echo responder")
    ICMP_QUOTE_SHORT = Counted(31, "ICMP unreachable messages that quote less than an IP header and 8 bytes behind it")
    ICMP_QUOTE = Counted(32, "ICMP unreachable messages that quote no TCP segment as we send them: "
                             "another protocol, a fragment, or with IP options")
    ADDRESS_CONFLICT = Counted(33, "ARP packets whose sender has our address on their network and another MAC address: "
                                   "somebody else uses it too (RFC 5227 §2.4)")

    @property
    def counter(self):
        """Name of the counter of this verdict."""
        return "events" if self is Verdict.EVENT else super().counter
