"""Reference model of SPI-4 Phase 2: parity, a transmitter and a receiver, one 16-bit word at a time.

Source: OIF-SPI4-02.1 §6.
"""
from collections import Counter, defaultdict, deque
from dataclasses import dataclass

__all__ = ["dip4", "dip2", "Burst", "Transmitter", "Receiver", "bursts_of", "NONE", "ABORT", "EOP"]

NONE, ABORT, EOP = "none", "abort", "eop"
SOP_SPACING = 8


def dip4(words, control):
    """Return the parity of a control word: diagonals through the data words before it and itself, its own bits set."""
    # Bit b of a word that stands d words before the last lies on diagonal b - d: the standard draws the sum
    # falling to the right. Written out bit by bit; the RTL turns a register instead.
    column = [0] * 16
    rows = [*words, control | 0xF]
    for distance, word in enumerate(reversed(rows)):
        for bit in range(16):
            column[(bit - distance) % 16] ^= word >> bit & 1
    return sum((column[n] ^ column[n + 4] ^ column[n + 8] ^ column[n + 12]) << n for n in range(4))


def dip2(words):
    """Return the two parity bits over 2-bit status words."""
    column = [0, 0]
    for distance, word in enumerate(reversed([*words, 3])):
        for bit in range(2):
            column[(bit - distance) % 2] ^= word >> bit & 1
    return column[0] | column[1] << 1


@dataclass
class Burst:
    """Bytes of one port, and the faults of their transmission.

    end: NONE, EOP or ABORT. control: sent instead of the payload control word. flip: XOR on it, after its parity.
    data_flip: (index of a word, XOR on it). crowd: do not keep the distance between SOPs.
    """

    port: int
    octets: bytes
    sop: bool = False
    end: str = NONE
    control: int | None = None
    flip: int = 0
    data_flip: tuple = (0, 0)
    crowd: bool = False


def bursts_of(octets, port, size, *, abort=False):
    """Return the bursts of one packet, `size` bytes each (a multiple of 16)."""
    parts = [octets[n:n + size] for n in range(0, len(octets), size)]
    ends = [NONE] * (len(parts) - 1) + [ABORT if abort else EOP]
    return [Burst(port, part, sop=n == 0, end=end) for n, (part, end) in enumerate(zip(parts, ends))]


class Transmitter:
    """Bursts to words; idle control words where there is nothing to send or the port is satisfied."""

    def __init__(self):
        self.queue = deque()
        self._words = deque()       # data words of the burst on its way
        self._since = []            # data words since the last control word
        self._eops = 0
        self._end = 0
        self._sop_distance = SOP_SPACING

    def empty(self):
        """Return whether everything queued is sent."""
        return not self.queue and not self._words and not self._end and not self._eops

    def _control(self, value, flip=0):
        word = value & 0xFFF0 | dip4(self._since, value)
        self._since = []
        return word ^ flip, 1

    def next(self, satisfied=lambda port: False):
        """Return the next word and its control flag. A burst starts when `satisfied(port)` is false."""
        self._sop_distance += 1
        if self._words:
            clean, sent = self._words.popleft()
            self._since.append(clean)
            return sent, 0
        self._eops, self._end = self._end, 0
        burst = self.queue[0] if self.queue else None
        close = burst is not None and burst.sop and self._sop_distance < SOP_SPACING and not burst.crowd
        if burst is None or close or satisfied(burst.port):
            word = self._eops << 13
            self._eops = 0
            return self._control(word)
        self.queue.popleft()
        if burst.sop:
            self._sop_distance = 0
        odd = len(burst.octets) % 2
        octets = burst.octets + b"\0" * odd
        words = [int.from_bytes(octets[n:n + 2], "big") for n in range(0, len(octets), 2)]
        index, flip = burst.data_flip
        self._words.extend((w, w ^ flip if n == index else w) for n, w in enumerate(words))
        self._end = {NONE: 0, ABORT: 1, EOP: 3 if odd else 2}[burst.end]
        control = 0x8000 | self._eops << 13 | burst.sop << 12 | burst.port << 4
        self._eops = 0
        return self._control(control if burst.control is None else burst.control, burst.flip)


class Receiver:
    """Words to packets. packets[port]: list of (bytes, err); the bytes of a packet with err may be incomplete."""

    def __init__(self, ports, max_frame):
        self.ports, self.max_frame = ports, max_frame
        self.packets = defaultdict(list)
        self.count = Counter()
        self.burst_octets = []      # length of every burst seen
        self._covered = []          # data words since the last control word
        self._burst = None          # [port, sop, bad]
        self._data = []
        self._ignore = False
        self._open, self._bad, self._skip = {}, {}, set()
        self._sop_distance = SOP_SPACING

    def put(self, word, control):
        """Take one word of the link and its control flag."""
        self._sop_distance += 1
        if control:
            self._control(word)
            return
        self._covered.append(word)
        if self._burst:
            self._data.append(word)
        elif not self._ignore:
            self._ignore = True
            self.count["no_payload_control"] += 1

    def _control(self, word):
        bad = dip4(self._covered, word) != word & 0xF
        self._covered = []
        payload, sop, address = word >> 15, word >> 12 & 1, word >> 4 & 0xFF
        reserved = not payload and sop
        eops = 0 if reserved else word >> 13 & 3
        if self._burst:
            self._close(eops, bad)
        elif eops and not self._ignore:
            self.count["eop_without_data"] += 1
        if bad:
            self.count["dip4"] += 1
            for port in self._open:
                self._bad[port] = True
        elif reserved:
            self.count["reserved"] += 1
        elif payload and address >= self.ports:
            self.count["address"] += 1
        if payload and sop:
            if self._sop_distance < SOP_SPACING:
                self.count["sop_spacing"] += 1
            self._sop_distance = 0
        self._burst = [address, sop, bad] if payload and address < self.ports else None
        self._data = []
        self._ignore = bool(address >= self.ports if payload else sop or address == 0xFF)

    def _close(self, eops, bad):
        assert self._burst is not None
        port, sop, doubtful = self._burst
        octets = b"".join(w.to_bytes(2, "big") for w in self._data)
        last, err = eops != 0, doubtful or bad
        if not octets:
            self.count["empty_burst"] += 1
            last, err, octets = True, True, b"\0\0"
        elif eops == 0 and len(octets) % 16:
            self.count["burst_length"] += 1
            last, err = True, True
        else:
            self.burst_octets.append(len(octets))
        if eops == 1:
            self.count["abort"] += 1
            err = True
        if eops == 3:
            octets = octets[:-1]
        self._store(port, sop, octets, last, err, doubtful)

    def _store(self, port, sop, octets, last, err, doubtful):
        if sop:
            if port in self._open:
                self.count["missing_eop"] += 1
            self._open[port], self._bad[port] = b"", False
            self._skip.discard(port)
        if port not in self._open:
            if port not in self._skip:
                self.count["missing_sop"] += 1
            self._skip.discard(port) if last else self._skip.add(port)
            return
        self._open[port] += octets
        self._bad[port] |= doubtful
        if len(self._open[port]) > self.max_frame:
            self.count["oversize"] += 1
            if not last:
                self._skip.add(port)
            last = err = True
        if last:
            self.packets[port].append((self._open.pop(port), bool(err or self._bad[port])))
            self.count["packets"] += 1
