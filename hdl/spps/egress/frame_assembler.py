"""Fifth stage of the output processor: header and payload joined into one frame.

Source: patent §IV ("reassembly"); IEEE 802.3 3.1, RFC 791 3.1, RFC 826, RFC 9293 3.1.
"""
from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from ..layouts.output import OutputFlag
from ..layouts.packet import packet_layout
from .frame import (
    ETHERNET,
    FIXED_BYTES,
    MIN_FRAME,
    OPTION_PLACES,
    OPTIONS,
    TCP,
    FrameRequest,
    options_bytes,
    wire,
)
from .payload_fetcher import payload_words

__all__ = ["FrameAssembler", "assembled_layout"]


def assembled_layout(width):
    """A word of a frame, and whether the frame has a payload and whether it overtook one (constant in a frame)."""
    return data.StructLayout({"packet": packet_layout(width), "payload": 1, "overtook": 1})


def _next_option_word(at, options):
    """The place of the option word behind place `at`. One-hot: bit 0 is in front of all, then come the words of OPTIONS; 0: no more."""
    following, passing, place = [Const(0, 1)], at[0], 1
    for bit, (_, size, _) in enumerate(OPTIONS):
        last = place + size // 4 - 1
        following += [passing & options[bit], *at[place:last]]
        passing = at[last] | (passing & ~options[bit])
        place = last + 1
    return Cat(following)


def _option_word(at, body):
    """The option word at a place, zero behind the last."""
    content = {
        OutputFlag.MSS: wire((0x0204, 16), body.mss),
        OutputFlag.WSCALE: wire((0x010303, 24), body.wscale),
        OutputFlag.SACK_PERMITTED: wire((0x04020101, 32)),
        OutputFlag.TIMESTAMP: wire((0x0101080A, 32), body.ts_val, body.ts_ecr),
        OutputFlag.SACK: wire((0x0101050A, 32), body.sack_left, body.sack_right),
    }
    words = wire(*(content[flag] for flag, _, _ in OPTIONS))
    places = [words[i:i + 32] & at[j].replicate(32) for j, i in enumerate(reversed(range(0, len(words), 32)), start=1)]
    return reduce(or_, places)


def _fixed_headers(frame, mac):
    """FIXED_BYTES of headers in wire order."""
    body = frame.body
    target = wire(body.mac_hi, body.mac_lo)
    offset = Array(Const((TCP + options_bytes(i)) // 4, 4) for i in range(1 << len(OPTIONS)))[frame.options]
    tcp = wire(
        (0x0800, 16),
        (0x4500, 16), Cat((frame.frame_bytes - ETHERNET)[:14], Const(0, 2)), frame.identification, (0x4000, 16),
        frame.ttl, (6, 8), frame.ip_checksum, body.local_ip, body.remote_ip,
        body.local_port, body.remote_port, body.seq, body.ack,
        offset, (0, 4), body.tcp_flags, body.window, frame.tcp_checksum)
    arp = wire((0x0806, 16), (1, 16), (0x0800, 16), (0x0604, 16), (2, 16), mac, body.local_ip, target, body.remote_ip)
    return wire(target, mac, Mux(frame.arp, wire(arp, (0, len(tcp) - len(arp))), tcp))


class FrameAssembler(wiring.Component):
    """Turns a frame request and its buffer into the words of a frame, padded with zeros to 60 bytes.

    Header words are zero behind the header and payload words are shifted behind it, so that joining is an OR. From FIXED_BYTES on a
    header consists of 32-bit words that hold half of one option word and half of the next: options are not packed first.

    Parameters: params.
    Members: i: frame, taken when the frame before has left its buffer; r_*: read port of the frame buffers;
    o: words; mac: source address, sampled per frame.
    Latency: 2 clocks. Throughput: one word per clock; 1 clock between frames.
    Backpressure: `o.ready` enables the pipeline of one memory read combinationally. Drop: none. Reset: idle.
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
        width, n = self._params.data_width, self._params.data_bytes
        shift = exact_log2(n)
        frame = Signal(FrameRequest)
        mac = Signal(48)
        busy = Signal()
        index = Signal(range(-(-self._params.max_frame // n) + 1))
        row = Signal(range(payload_words(self._params)))
        rows, last_index = Signal(range(payload_words(self._params) + 1)), Signal.like(index)
        empty = Signal(shift)
        total = Signal(14)          # bytes with padding
        step = Signal()
        final, inside = Signal(), Signal()

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

        # stage beside the memory read
        headers = _fixed_headers(frame, mac)
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
        options = frame.options & (~frame.arp).replicate(len(OPTIONS))
        header = []
        for lane in range(lanes):
            starts = lane >= lane_begin
            fixed = Array(headers[i:i + 32] for i in range(len(headers) - 32 * (lane + 1), -1, -width))[index[:bits_for(begin)]]
            behind_place = _next_option_word(place, options)
            m.d.comb += [
                tail[lane].eq(index >= begin if starts else index > begin),
                option[lane].eq(_option_word(places[lane], frame.body)),
                # in word `begin` only lanes with options count
                following[lane].eq(behind_place if starts else Mux(index < begin, place, behind_place)),
            ]
            header.append(Mux(tail[lane], wire(half, option[lane][16:]), fixed))
            half, place = Mux(tail[lane], option[lane][:16], half), following[lane]
        with m.If(~busy):
            m.d.sync += behind.eq(0)
        with m.Elif(step):
            m.d.sync += [behind.eq(half), *(p.eq(f) for p, f in zip(places, following))]

        held, held_inside = Signal(), Signal()
        held_header = Signal(width)
        held_turn = Signal(shift)   # bytes of header in the word where the payload begins
        carried = Signal(width)     # payload word before
        with m.If(step):
            m.d.sync += [
                held.eq(busy),
                held_inside.eq(inside),
                held_header.eq(wire(*header)),
                held_turn.eq(frame.header_bytes[:shift]),
                self.o.payload.packet.port.eq(frame.body.iface),
                self.o.payload.packet.last.eq(final),
                self.o.payload.packet.empty.eq(Mux(final, empty, 0)),
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
        # headers are 2 modulo 4 bytes long
        joined = Cat(current, carried)
        m.d.comb += self.o.payload.packet.data.eq(
            held_header | Array(joined[8 * r:8 * r + width] if r % 4 == 2 else Const(0, width) for r in range(n))[held_turn])
        return m
