"""What the messages of an event do in the functional SPPS: payload, records, keys, and outputs behind the ACK gate."""
import struct
from collections import Counter, deque

from spps.layouts.event import EventKind
from spps.layouts.flowstate import (
    DELTA_LINES,
    FLOWSTATE_WORDS,
    FULL_LINES,
    LEG_BASE,
    LEG_STRIDE,
    LINE_WORDS,
    ConnFlag,
)
from spps.layouts.lookup import SYN_FIELDS, ProgramNote
from spps.layouts.message import MessageKind
from spps.layouts.output import OutputFlag
from spps.layouts.record import RecordKind
from spps.ucode.names import STRUCTS

from ..checker.wire import ACK, FIN, RST, SYN
from ..peers.frames import (
    Arp,
    arp_frame,
    mss_option,
    sack_option,
    sack_permitted_option,
    tcp_frame,
    timestamp_option,
    wscale_option,
)
from .socket import SND_UNA, PagedMemory

__all__ = ["TCP", "MessageEffects", "Output", "ProgramError"]

TCP = 6                 # IP protocol


class ProgramError(AssertionError):
    """The program broke a rule of its interfaces."""


class Output:
    """An OUTPUT message, decoded."""

    def __init__(self, words):
        self.flags = words[1] & 0xFFFF
        body = words[2:]
        self.mac = struct.pack("!HI", body[0] & 0xFFFF, body[1])
        self.iface = body[0] >> 16 & 0xFF
        self.local_ip, self.remote_ip = body[2], body[3]
        self.local_port, self.remote_port = body[4] & 0xFFFF, body[4] >> 16
        self.seq, self.ack = body[6], body[7]
        self.window, self.tcp_flags, self.wscale = body[8] & 0xFFFF, body[8] >> 16 & 0xFF, body[8] >> 24
        self.length, self.mss = body[9] & 0xFFFF, body[9] >> 16
        self.conn, self.direction, self.pool = body[11] & 0xFFFF, body[11] >> 16 & 1, body[11] >> 17 & 3
        self.stamp, self.sack = (body[12], body[13]), list(zip(body[14::2], body[15::2]))

    def __repr__(self):
        return (f"Output(if{self.iface} seq={self.seq:#x} ack={self.ack:#x} flags={self.tcp_flags:#x} "
                f"len={self.length} "
                f"wnd={self.window})")


class MessageEffects:
    """What messages change in a functional SPPS. `FunctionalSpps` adds the events that send them.

    params: SppsParams. mac: address of the unit, 6 bytes. emit, record: as FunctionalSpps. rng: of memory never
    written. neighbours: NeighbourModel.
    """

    def __init__(self, params, mac, emit, record, rng, neighbours):
        self.neighbours = neighbours
        self.unresolved = 0                 # outputs dropped for want of a MAC address
        self.params, self.mac, self.emit, self.record, self.random = params, mac, emit, record, rng
        self.alive, self.protect = True, 1
        self.tolerant = False               # True: a program with an injected fault is running
        self.losses = 0                     # cores lost
        self.keys = {}                      # flow key -> (conn, leg)
        self.in_use, self.half_open = set(), set()
        self.covered = set()                # those in use that the program has said need no record
        self.time_wait = []                 # conns in TIME-WAIT in order of entry
        self.replays, self.waiting = [], []     # SYNs that a core sent back: to be looked up, or once a conn is free
        self.flowstates = {}                # conn -> words, as in flowstate memory
        self.scratch = {}                   # reference -> payload
        self.memory = self.empty_memory()
        self.lowest = list(params.pool_pages)       # fewest free pages of each pool
        # payloads dropped for want of pages; outputs whose bytes were acknowledged while they waited
        self.refused = self.stale = 0
        self.gate = deque()                 # Outputs that wait for a record
        self.issued = self.confirmed = 0    # records
        self.log = []                       # outputs in order of issue, ARP packets too
        self.notes = Counter()              # of layouts.lookup.ProgramNote by counter, and `icmp_noflow`

    def garbage(self):
        """Return words of a flowstate that nobody has written."""
        return [self.random.getrandbits(32) for _ in range(FLOWSTATE_WORDS)]

    def empty_memory(self):
        """Return socket memory without a page in use."""
        return PagedMemory(self.params.page_bytes, self.params.pool_pages, 2 * self.params.socket_bytes)

    def execute(self, words, conn, state):
        """Execute one message of an event of `conn`.

        words: of 32 bits, header first. state: words of the workspace after the event, False for an event without flow.
        Raises ProgramError for a message that breaks a rule.
        """
        kind, length = MessageKind(words[0] & 0xFF), words[0] >> STRUCTS["MessageHeader"]["length"].lsb & 0xFF
        if len(words) != 2 * (length + 1):
            raise ProgramError(f"{kind} says {length} beats and has {len(words) // 2 - 1}")
        if kind is MessageKind.COPY:
            self._copy(words, conn)
        elif kind is MessageKind.RELEASE:
            self._take_payload(words[1] & 0xFFFF)
            self.refused += words[1] >> 16 & 1
        elif kind is MessageKind.OUTPUT:
            self._output(Output(words), state)
        elif kind in (MessageKind.SYNC, MessageKind.CONSUMED):
            self._commit(words, conn, kind)
        elif kind is MessageKind.LEARN:
            argument = STRUCTS["LearnArgument"]
            fields = {name: words[1] >> field.lsb & (1 << field.width) - 1 for name, field in argument.items()}
            self.neighbours.learn(fields["iface"], words[3], fields["mac_hi"] << 32 | words[2], fields["create"])
        elif kind in (MessageKind.INSERT, MessageKind.DELETE):
            self._change_key(words, kind)
        elif kind is MessageKind.ESTABLISHED:
            if words[1] & 0xFFFF != conn:
                raise ProgramError(f"connection {words[1] & 0xFFFF} established in an event of {conn}")
            if words[1] >> STRUCTS["KeyArgument"]["half_open"].lsb & 1:
                self.half_open.add(conn)
            else:
                self.half_open.discard(conn)
        elif kind is MessageKind.COVERED:
            if words[1] & 0xFFFF != conn:
                raise ProgramError(f"connection {words[1] & 0xFFFF} covered in an event of {conn}")
            self.covered.add(conn)
        elif kind is MessageKind.NOTE:
            self.notes[ProgramNote(words[1]).counter] += 1
        elif kind is MessageKind.TIME_WAIT:
            if words[1] & 0xFFFF != conn:
                raise ProgramError(f"connection {words[1] & 0xFFFF} in TIME-WAIT in an event of {conn}")
            if conn not in self.time_wait:
                self.time_wait.append(conn)
        elif kind is MessageKind.REPLAY:
            syn = {name: words[2 + field.word] >> field.lsb & (1 << field.width) - 1
                   for name, field in STRUCTS["Event"].items() if name in SYN_FIELDS}
            if syn["tcp_flags"] & (SYN | ACK | RST | FIN) != SYN:
                raise ProgramError(f"sent back, but no SYN: {syn}")
            (self.waiting if words[1] & 1 else self.replays).append(
                syn | {"kind": EventKind.TCP.value, "protocol": TCP, "again": 1})
        else:
            raise ProgramError(f"message {kind} from a program")

    def _copy(self, words, conn):
        payload = self._take_payload(words[2] & 0xFFFF, keep=words[1] & 1)
        skip, count = words[2] >> 16, words[3] & 0xFFFF
        if skip + count > len(payload) or count == 0 or words[5] & 0xFFFF != conn:
            raise ProgramError(f"copy of {count} bytes after {skip} from {len(payload)}, "
                               f"connection {words[5] & 0xFFFF}")
        ring, pool = (conn, words[5] >> 16 & 1), words[5] >> 17 & 3
        problem = self.memory.write(ring, pool, words[4], payload[skip:skip + count])
        self.lowest = [min(pair) for pair in zip(self.lowest, self.memory.free)]
        if problem:
            raise ProgramError(f"copy of {count} bytes to {words[4]:#x}: {problem}, free pages {self.memory.free}")

    def _take_payload(self, ref, keep=0):
        if ref not in self.scratch:
            raise ProgramError(f"payload {ref} released twice or unknown")
        return self.scratch[ref] if keep else self.scratch.pop(ref)

    def _output(self, output, state):
        if state:
            output.protected = state[0] >> ConnFlag.PROTECTED & 1
            if output.protected and not output.flags & OutputFlag.GATED and not self.tolerant:
                raise ProgramError(f"ungated output of a protected connection: {output}")
        output.behind = self.issued
        self.log.append(output)
        output.frame = self._frame(output)
        if output.frame is None:
            raise ProgramError(f"output of bytes that are not in socket memory: {output}")
        if output.flags & OutputFlag.GATED and self.protect:
            self.gate.append(output)
        else:
            self._send(output, output.frame)

    @property
    def segments(self):
        """Outputs of TCP in order of issue."""
        return [output for output in self.log if not output.flags & OutputFlag.ARP]

    def _send(self, output, frame):
        """Emit a frame to its next hop, or to the MAC address of its message while none is known."""
        if not output.flags & OutputFlag.ARP:
            hop = self.neighbours.query(output.iface, output.remote_ip)
            frame = (output.mac if hop is None else hop.to_bytes(6, "big")) + frame[6:]
            if frame[:6] == bytes(6):
                self.unresolved += 1
                return
        self.emit(self, output.iface, frame)

    def _commit(self, words, conn, kind):
        """Execute a record: it frees socket memory; SYNC also goes to the standby and into flowstate memory."""
        retires = words[1] >> 16 & 3 == RecordKind.RETIRE
        for direction in (0, 1):
            if retires:
                self.memory.drop((conn, direction))
            else:
                self.memory.release((conn, direction), words[2 + SND_UNA[1 - direction]])
        if kind is MessageKind.SYNC:
            if not retires:
                self.keep_record(conn, words)
            if self.protect:            # else no standby takes it
                self.issued += 1
                self.record(self, self.issued, words)

    def _change_key(self, words, kind):
        key = (words[2], words[3], words[4] & 0xFFFF, words[4] >> 16, words[5] & 0xFF, words[5] >> 8 & 0xFFF)
        where = words[1] & 0xFFFF, words[1] >> 16 & 1
        if kind is MessageKind.INSERT:
            if key in self.keys and not self.losses:
                raise ProgramError(f"key {key} inserted twice")
            self.keys[key] = where
        elif self.keys.pop(key, None) != where and not self.losses:     # a lost event may have done it before
            raise ProgramError(f"key {key} of {where} deleted, but not there")

    # outputs --------------------------------------------------------------------------------
    def _frame(self, o):
        """Return the frame of an Output; None if its bytes are not in socket memory."""
        if o.flags & OutputFlag.ARP:
            target = bytes(6) if o.tcp_flags == 1 else o.mac
            return arp_frame(o.mac, Arp(o.tcp_flags, self.mac, o.local_ip, target, o.remote_ip))
        payload = self.memory.read((o.conn, o.direction), o.pool, o.seq, o.length)
        if payload is None:
            return None
        options = (mss_option(o.mss) if o.flags & OutputFlag.MSS else b"")
        options += wscale_option(o.wscale) if o.flags & OutputFlag.WSCALE else b""
        options += sack_permitted_option() if o.flags & OutputFlag.SACK_PERMITTED else b""
        options += timestamp_option(*o.stamp) if o.flags & OutputFlag.TIMESTAMP else b""
        options += sack_option(o.sack) if o.flags & OutputFlag.SACK else b""
        if len(options) > 40 or not o.flags & OutputFlag.SACK and len(o.sack) != 1:
            raise ProgramError(f"{len(options)} bytes of options, {len(o.sack)} SACK blocks: {o}")
        return tcp_frame(o.mac, self.mac, (o.local_ip, o.local_port), (o.remote_ip, o.remote_port),
                         seq=o.seq, ack=o.ack, flags=o.tcp_flags, window=o.window, payload=payload, options=options)

    def confirm(self, number):
        """Note that the other unit has applied every record up to `number`."""
        self.confirmed = max(self.confirmed, number)
        self.open_gate()

    def open_gate(self):
        """Send outputs from the head of the gate while their records are confirmed, or nothing protects."""
        while self.alive and self.gate and (self.gate[0].behind <= self.confirmed or not self.protect):
            output = self.gate.popleft()
            frame = self._frame(output)     # egress reads socket memory when the output leaves
            if frame is None:
                self.stale += 1
                continue
            if frame != output.frame:
                raise ProgramError(f"socket memory changed under a gated output: {output}")
            self._send(output, frame)

    # records --------------------------------------------------------------------------------
    def _store_lines(self, conn, words):
        """Store the lines of a SYNC message in flowstate memory; return the flowstate."""
        lines = FULL_LINES if words[1] >> 16 & 3 else DELTA_LINES
        body = words[2:]
        if len(body) != len(lines) * LINE_WORDS:
            raise ProgramError(f"record of kind {words[1] >> 16 & 3} has {len(body)} words")
        state = self.flowstates[conn] = list(self.flowstates[conn])
        for i, line in enumerate(lines):
            state[line * LINE_WORDS:(line + 1) * LINE_WORDS] = body[i * LINE_WORDS:(i + 1) * LINE_WORDS]
        return state

    def keep_record(self, conn, words):
        """Store a record of this unit, which also went to the standby, in flowstate memory."""
        self._store_lines(conn, words)

    def apply(self, words):
        """Apply a record of the other unit (words of its SYNC message)."""
        conn, kind = words[1] & 0xFFFF, words[1] >> 16 & 3
        self.flowstates.setdefault(conn, self.garbage())
        state = self._store_lines(conn, words)
        keys = []
        for leg, first in ((0, LEG_BASE), (1, LEG_BASE + LEG_STRIDE)):
            line = state[first:first + LINE_WORDS]
            keys.append(((line[3], line[2], line[4] >> 16, line[4] & 0xFFFF, TCP, line[0] >> 16 & 0xFF), (conn, leg)))
        if kind == RecordKind.FULL:
            self.in_use.add(conn)
            self.keys |= dict(keys)
        elif kind == RecordKind.RETIRE:
            for key, _ in keys:
                self.keys.pop(key, None)
            self.in_use.discard(conn)
            self.covered.discard(conn)
            self.flowstates[conn] = self.garbage()
