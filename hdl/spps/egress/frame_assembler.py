"""Fifth stage of the output processor: header and payload joined into one frame."""
from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from ..layouts.headers import ETHERNET_BYTES, TCP_BYTES, ArpOperation, EtherType, IpProtocol
from ..layouts.output import SACK_BLOCKS, OutputFlag
from ..layouts.packet import packet_layout
from .frame import (
    BLOCK_BYTES,
    FIXED_BYTES,
    IPV4_DONT_FRAGMENT,
    IPV4_START,
    MIN_FRAME,
    OPTION_PLACES,
    OPTIONS,
    FrameRequest,
    options_bytes,
    wire_order,
)
from .payload_fetcher import payload_words

__all__ = ["FrameAssembler", "assembled_layout"]

_ARP_HARDWARE, _ARP_LENGTHS = 1, 0x0604     # Ethernet; bytes of its addresses and of IPv4's
_SACK_BYTES = 2 + BLOCK_BYTES               # of the option with one block, NOPs excluded
#: parts of the options in wire order: OPTIONS, then SACK blocks behind the first
_PART_BYTES = (*(size for _, size, _ in OPTIONS), *[BLOCK_BYTES] * (SACK_BLOCKS - 1))


def assembled_layout(width):
    """Return the layout of a word of a frame.

    `payload`: the frame has one. `overtook`: it overtook one. `echo`, `announcement`: it is of no OUTPUT, but an ICMP
    echo reply, or gratuitous ARP.
    """
    return data.StructLayout({"packet": packet_layout(width), "payload": 1, "overtook": 1, "echo": 1,
                              "announcement": 1})


def _present(frame):
    """Return which parts of the options a frame has: OPTIONS, then SACK blocks behind the first."""
    blocks = (frame.more_blocks > n for n in range(SACK_BLOCKS - 1))
    return Cat(frame.options, *blocks) & (~frame.arp).replicate(len(_PART_BYTES))


def _next_option_word(at, present):
    """Place of the option word behind place `at`, one-hot: bit 0 is before all, then words of the parts; 0: no more."""
    following, passing, place = [Const(0, 1)], at[0], 1
    for bit, size in enumerate(_PART_BYTES):
        last = place + size // 4 - 1
        following += [passing & present[bit], *at[place:last]]
        passing = at[last] | (passing & ~present[bit])
        place = last + 1
    return Cat(following)


def _option_word(at, frame):
    """Option word at a place, zero behind the last."""
    body = frame.body
    block_count = (frame.more_blocks + _SACK_BYTES // BLOCK_BYTES)[:3]
    sack_bytes = Cat(Const(_SACK_BYTES % BLOCK_BYTES, 3), block_count, Const(0, 2))
    content = {
        OutputFlag.MSS: (body.mss,), OutputFlag.WSCALE: (body.wscale,), OutputFlag.SACK_PERMITTED: (),
        OutputFlag.TIMESTAMP: (body.ts_val, body.ts_ecr),
        OutputFlag.SACK: (sack_bytes, body.sack_left, body.sack_right),
    }
    words = []
    for flag, size, halves in OPTIONS:      # the last half of WSCALE and SACK has a constant byte and one of content
        number = sum(half << 16 * i for i, half in enumerate(reversed(halves)))
        bits = 8 * size - sum(len(field) for field in content[flag])
        words.append(wire_order((number >> 16 * len(halves) - bits, bits), *content[flag]))
    words += [wire_order(*(frame.blocks[i].word_select(j, 32) for j in (0, 1))) for i in range(SACK_BLOCKS - 1)]
    words = wire_order(*words)
    places = [words[i:i + 32] & at[j].replicate(32) for j, i in enumerate(reversed(range(0, len(words), 32)), start=1)]
    return reduce(or_, places)


def _fixed_headers(frame, mac):
    """FIXED_BYTES of headers in wire order."""
    body = frame.body
    target = wire_order(body.mac_hi, body.mac_lo)
    offset = Array(Const((TCP_BYTES + options_bytes(i)) // 4, 4) for i in range(1 << len(OPTIONS)))[frame.options]
    offset = (offset + frame.more_blocks * (BLOCK_BYTES // 4))[:4]
    tcp = wire_order(
        (EtherType.IPV4.value, 16),
        (IPV4_START, 16), Cat((frame.frame_bytes - ETHERNET_BYTES)[:14], Const(0, 2)),
        frame.identification, (IPV4_DONT_FRAGMENT, 16),
        frame.ttl, (IpProtocol.TCP.value, 8), frame.ip_checksum, body.local_ip, body.remote_ip,
        body.local_port, body.remote_port, body.seq, body.ack,
        offset, (0, 4), body.tcp_flags, body.window, frame.tcp_checksum)
    arp = wire_order(
        (EtherType.ARP.value, 16), (_ARP_HARDWARE, 16), (EtherType.IPV4.value, 16), (_ARP_LENGTHS, 16),
        (0, 8), body.tcp_flags, mac, body.local_ip,
        # RFC 826: of no meaning in a request
        Mux(body.tcp_flags == ArpOperation.REQUEST.value, 0, target), body.remote_ip)
    return wire_order(target, mac, Mux(frame.arp, wire_order(arp, (0, len(tcp) - len(arp))), tcp))


class FrameAssembler(wiring.Component):
    """Turns a frame request and its buffer into the words of a frame, padded with zeros to 60 bytes.

    Header words are zero behind the header and payload words are shifted behind it, so that joining is an OR. From
    FIXED_BYTES on a header consists of 32-bit words that hold half of one option word and half of the next: options are
    joined as they leave.

    Parameters
    ----------
    params : SppsParams
        data_width, max_frame.

    Members
    -------
    i : In(stream of FrameRequest)
        Frame; taken when the frame before has left its buffer.
    r_en : Out(1)
        Read of the frame buffers.
    r_addr : Out(range(2 * payload_words))
        Word in the two buffers.
    r_data : In(data_width)
        The word, one clock later.
    o : Out(stream of assembled_layout)
        Words of the frame.
    mac : In(48)
        Source address, sampled per frame.

    Timing
    ------
    Latency 2 clocks. Throughput 1 word per clock, 1 clock between frames. `o.ready` enables the pipeline of one memory
    read combinationally.

    Drop
    ----
    None.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV ("reassembly"); IEEE 802.3 §3.1, RFC 791 §3.1, RFC 826, RFC 9293 §3.1.
    """

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i": In(stream.Signature(FrameRequest)),
            "r_en": Out(1),
            "r_addr": Out(range(2 * payload_words(params))),
            "r_data": In(params.data_width),
            "o": Out(stream.Signature(assembled_layout(params.data_width))),
            "mac": In(48),
        })

    def elaborate(self, platform):
        m = Module()
        n = self._params.data_bytes
        shift = exact_log2(n)
        self._frame, self._mac = frame, mac = Signal(FrameRequest), Signal(48)
        self._busy, self._step = busy, step = Signal(), Signal()
        self._index = index = Signal(range(-(-self._params.max_frame // n) + 1))
        row = Signal(range(payload_words(self._params)))
        rows, last_index = Signal(range(payload_words(self._params) + 1)), Signal.like(index)
        self._empty = empty = Signal(shift)
        total = Signal(14)          # bytes with padding
        self._final, self._inside = final, inside = Signal(), Signal()
        m.d.comb += [
            total.eq(Mux(self.i.payload.frame_bytes < MIN_FRAME, MIN_FRAME, self.i.payload.frame_bytes)),
            self.i.ready.eq(~busy),
            final.eq(index == last_index),
            # this word holds payload of row `row`; the word after the last row may hold the rest of it
            inside.eq((index >= frame.header_bytes[shift:]) & (row < rows)),
            self.r_en.eq(step),
            self.r_addr.eq(Cat(row, frame.buffer)),
        ]
        with m.If(~busy):
            m.d.sync += [
                frame.eq(self.i.payload),
                mac.eq(self.mac),
                index.eq(0),
                row.eq(0),
                rows.eq((self.i.payload.payload_bytes + (n - 1)) >> shift),
                last_index.eq((total - 1) >> shift),
                empty.eq(-total[:shift]),
                busy.eq(self.i.valid),
            ]
        with m.Elif(step):
            m.d.sync += [index.eq(index + 1), row.eq(row + inside), busy.eq(~final)]
        self._join(m, self._header_word(m))
        return m

    def _header_word(self, m):
        """Word `index` of the headers, in the clock in which a row of payload is asked for."""
        width, frame, index = self._params.data_width, self._frame, self._index
        headers = _fixed_headers(frame, self._mac)
        lanes = width // 32
        begin, lane_begin = divmod(FIXED_BYTES // 4, lanes)     # the first word with options, and the lane in it
        tail = [Signal(name=f"tail_{lane}") for lane in range(lanes)]
        # where the option words of this word and of the next come from
        places = [Signal(OPTION_PLACES, name=f"place_{lane}") for lane in range(lanes)]
        following = [Signal(OPTION_PLACES, name=f"following_{lane}") for lane in range(lanes)]
        option = [Signal(32, name=f"option_{lane}") for lane in range(lanes)]
        behind = Signal(16)         # half of the last option word; before all the urgent pointer, which is 0
        half, place = behind, Signal(OPTION_PLACES)
        m.d.comb += place.eq(Mux(index < begin, 1, places[-1]))
        present = _present(frame)
        header = []
        for lane in range(lanes):
            starts = lane >= lane_begin
            words = range(len(headers) - 32 * (lane + 1), -1, -width)
            fixed = Array(headers[i:i + 32] for i in words)[index[:bits_for(begin)]]
            behind_place = _next_option_word(place, present)
            m.d.comb += [
                tail[lane].eq(index >= begin if starts else index > begin),
                option[lane].eq(_option_word(places[lane], frame)),
                # in word `begin` only lanes with options count
                following[lane].eq(behind_place if starts else Mux(index < begin, place, behind_place)),
            ]
            header.append(Mux(tail[lane], wire_order(half, option[lane][16:]), fixed))
            half, place = Mux(tail[lane], option[lane][:16], half), following[lane]
        with m.If(~self._busy):
            m.d.sync += behind.eq(0)
        with m.Elif(self._step):
            m.d.sync += [behind.eq(half), *(p.eq(f) for p, f in zip(places, following))]
        return wire_order(*header)

    def _join(self, m, header):
        """Join a word of header and the payload that was read, shifted behind the header."""
        width, n = self._params.data_width, self._params.data_bytes
        shift, frame, step = exact_log2(n), self._frame, self._step
        held, held_inside = Signal(), Signal()
        held_header = Signal(width)
        held_turn = Signal(shift)   # bytes of header in the word where the payload begins
        carried = Signal(width)     # payload word before
        with m.If(step):
            m.d.sync += [
                held.eq(self._busy),
                held_inside.eq(self._inside),
                held_header.eq(header),
                held_turn.eq(frame.header_bytes[:shift]),
                self.o.payload.packet.port.eq(frame.body.iface),
                self.o.payload.packet.last.eq(self._final),
                self.o.payload.packet.empty.eq(Mux(self._final, self._empty, 0)),
                self.o.payload.payload.eq(frame.payload_bytes != 0),
                self.o.payload.overtook.eq(frame.overtook),
            ]
        current = Signal(width)
        m.d.comb += [
            step.eq(~held | self.o.ready),
            self.o.valid.eq(held),
            current.eq(Mux(held_inside, self.r_data, 0)),
        ]
        with m.If(step):
            m.d.sync += carried.eq(Mux(held & ~self.o.payload.packet.last, current, 0))
        joined = Cat(current, carried)
        # headers are 2 modulo 4 bytes long
        turned = [joined[8 * r:8 * r + width] if r % 4 == 2 else Const(0, width) for r in range(n)]
        m.d.comb += self.o.payload.packet.data.eq(held_header | Array(turned)[held_turn])
