"""An SPPS without clocks: the real microcode in the instruction-set simulator, everything around it in plain Python.

One event at a time runs to its end; its messages are executed in order (COPY, RELEASE, OUTPUT, SYNC, INSERT, DELETE), the ACK
gate holds outputs until the other unit has confirmed the record before them. `functional_pair` puts two of them between peers.
Every rule that programs must keep is checked here: a payload chain is given back exactly once, no output of a protected
connection passes ungated, no trap, no send of more than the ring holds.
"""
import random
import struct
from collections import deque

from spps.layouts.config import CONFIG
from spps.layouts.event import EVENT_WORDS, EventKind, OptionFlag, TimerCause
from spps.layouts.flowstate import (
    DELTA_LINES,
    FLOWSTATE_WORDS,
    FULL_LINES,
    LINE_WORDS,
    ConnFlag,
)
from spps.layouts.message import MessageKind
from spps.layouts.output import OutputFlag
from spps.layouts.record import RecordKind
from spps.ucode.iss import CoreIss
from spps.ucode.names import STRUCTS

from ..checker.wire import ACK, SYN, before, parse_segment
from ..peers.frames import (
    Arp,
    arp_frame,
    mss_option,
    parse_arp,
    sack_option,
    sack_permitted_option,
    tcp_frame,
    timestamp_option,
    wscale_option,
)
from .socket import SND_UNA, PagedMemory

__all__ = ["FunctionalSpps", "ProgramError", "event_words", "Output"]

TICK_MARGIN = 2         # register tick_margin
EVENT = STRUCTS["Event"]
TCP_OPTIONS = {2: OptionFlag.MSS, 3: OptionFlag.WSCALE, 4: OptionFlag.SACK_PERMITTED, 5: OptionFlag.SACK, 8: OptionFlag.TIMESTAMP}


LONGEST = 1464                  # payload bytes of a frame


class ProgramError(AssertionError):
    """The program broke a rule of its interfaces."""


def event_words(**fields):
    """The 16 words of an event from its fields."""
    words = [0] * EVENT_WORDS
    for name, value in fields.items():
        field = EVENT[name]
        if not 0 <= int(value) < 1 << field.width:
            raise ValueError(f"{name}={value}: must fit {field.width} bits")
        words[field.word] |= int(value) << field.lsb
    return words


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
        self.stamp, self.sack = (body[12], body[13]), (body[14], body[15])

    def __repr__(self):
        return f"Output(if{self.iface} seq={self.seq:#x} ack={self.ack:#x} flags={self.tcp_flags:#x} len={self.length} wnd={self.window})"


class FunctionalSpps:
    """One unit.

    name: for captures. image: program. time(): ticks that have passed. base: added to them in `now`. config: names of layouts.config -> value. emit(unit, port, frame).
    record(unit, number, words): a SYNC message was issued; the other unit answers with confirm(number).
    seed: of everything a program must not depend on: registers, scratch, memory never written. isn_base: added to the ISN clock. half_open_limit: as the register.
    cycles_per_tick: of the CSR.
    """

    def __init__(self, name, image, time, config, emit, record, *, connections=16, socket_bytes=16384, seed=0, cores=2, active=True,
                 isn_base=0, base=0, page_bytes=(256, 512, 1024, 2048), pool_pages=(512, 64, 32, 16), half_open_limit=0, cycles_per_tick=7):
        self.name, self.time, self.base, self.emit, self.record = name, time, base, emit, record
        self.config = {c.name: c.reset for c in CONFIG} | config
        self.connections, self.socket_bytes, self.pools = connections, socket_bytes, (page_bytes, pool_pages)
        self.random = random.Random(f"{name}/{seed}")
        self.isn_base, self.cycles_per_tick = isn_base, cycles_per_tick
        self.active, self.epoch, self.protect, self.sync_ready = int(active), 1, 1, 1
        self.cores = [CoreIss(image, csr=self._csr, seed=f"{name}/{seed}/{i}") for i in range(cores)]
        for core in self.cores:
            core.mem = [self.random.getrandbits(32) for _ in core.mem]
        self.keys = {}              # flow key -> (conn, leg)
        self.in_use, self.half_open = set(), set()
        self.half_open_limit, self.half_open_refused = half_open_limit, 0
        self.flowstates = {}        # conn -> words, as in flowstate memory
        self.unwritten = {}         # conn -> words of a workspace that has not been written back
        self.restarts = set()       # conns that start again from flowstate memory
        self.unborn = set()         # new ones, no event of which has ended well
        self.lose = None            # lose(event number, result) -> messages that get out before the core is lost, or None
        self.write_back = lambda: True      # after an event: is it written back, or does the flow go on in its workspace?
        self.losses = 0
        self.memory = self._empty_memory()
        self.lowest = list(pool_pages)
        self.refused = self.stale = 0       # payload without room; outputs whose bytes were acknowledged while they waited
        self.timers = {}
        self.scratch = {}           # reference -> payload
        self._next_ref = 1
        self.gate = deque()         # Outputs that wait for a record
        self.tolerant = False       # True: a program with a injected fault is running
        self.issued = self.confirmed = 0
        self.events = 0
        self.steps = []             # (kind, payload length, instructions)
        self.log = []               # outputs in order of issue
        self.alive = True
        self.mac = struct.pack("!HI", self.config["mac_hi"], self.config["mac_lo"])

    def now(self):
        """The tick counter."""
        return (self.time() + self.base) & 0xFFFFFFFF

    def hear(self, tick):
        """A heartbeat of the active: this counter does not stay behind."""
        if before(self.now(), tick):
            self.base += tick - self.now()

    # what the program sees ----------------------------------------------------------------
    def _csr(self, name):
        if name.startswith("cfg."):
            return self.config[name[4:]]
        return {"now": self.now(), "cycles": self.time() * self.cycles_per_tick, "isn_clock": self.time() * 250 + self.isn_base,
                "active": self.active, "epoch": self.epoch,
                "core_id": 0, "sync_ready": self.sync_ready, "protect": self.protect, "pool_status": self._room(),
                "fast_ready": self.sync_ready & (self._room() == self._room(True))}[name]

    def _empty_memory(self):
        return PagedMemory(*self.pools, 2 * self.socket_bytes)

    def _room(self, wanted=False):
        """Bits of PoolBit; wanted: those of every pool that exists."""
        bits = 0
        for pool, (size, count, free) in enumerate(zip(*self.pools, self.memory.free)):
            reserve = LONGEST // size + 2
            bits |= (count and (wanted or free >= reserve)) << pool
            bits |= (count and (wanted or free >= max(2 * reserve, count // 4))) << 4 + pool
        return bits

    def _garbage(self):
        return [self.random.getrandbits(32) for _ in range(FLOWSTATE_WORDS)]

    # events in ----------------------------------------------------------------------------
    def frame(self, port, data):
        """A frame from a network."""
        if not self.alive or not self.active:
            return
        fields = self._parse(port, data)
        if fields is None:
            return
        payload = fields.pop("payload", b"")
        key = fields.pop("key", None)
        if payload:
            ref, self._next_ref = self._next_ref, self._next_ref % 60000 + 1
            self.scratch[ref] = payload
            fields |= {"payload_len": len(payload), "scratch_ref": ref}
        if key is None:
            fields["noflow"] = 1
        elif key in self.keys:
            fields["conn"], fields["leg"] = self.keys[key]
        elif fields["tcp_flags"] & (SYN | ACK) == SYN:
            free = [c for c in range(self.connections) if c not in self.in_use]
            crowded = self.half_open_limit and len(self.half_open) >= self.half_open_limit
            self.half_open_refused += bool(crowded)
            if crowded or not free:
                self.scratch.pop(fields.get("scratch_ref"), None)
                return
            conn = free[0]
            self.in_use.add(conn)
            self.half_open.add(conn)
            self.keys[key] = conn, 0
            self.flowstates[conn] = [0] * FLOWSTATE_WORDS      # the DMA clears it
            self.unwritten.pop(conn, None)
            self.restarts.discard(conn)
            self.unborn.add(conn)
            fields |= {"conn": conn, "new": 1, "sack_left": hash(key) & 0xFFFFFFFF, "sack_right": 0}
        else:
            fields["noflow"] = 1
        self.run(fields)

    def _parse(self, port, data):
        common = {"iface": port, "src_mac_hi": int.from_bytes(data[6:8], "big"), "src_mac_lo": int.from_bytes(data[8:12], "big")}
        arp = parse_arp(data)
        if arp is not None:
            return common | {"kind": EventKind.ARP.value, "subtype": arp.operation, "src_ip": arp.sender_ip, "dst_ip": arp.target_ip}
        segment = parse_segment(data)
        if segment is None or segment.problems:
            return None
        known = {k: v for k, v in segment.options.items() if k in TCP_OPTIONS and (segment.flags & SYN or k in (5, 8))}
        options = sum(TCP_OPTIONS[k] for k in known)
        if len(known.get(5, b"")) >= 8:
            common["sack_left"], common["sack_right"] = struct.unpack_from("!II", known[5])
        if len(known.get(8, b"")) == 8:
            common["ts_val"], common["ts_ecr"] = struct.unpack("!II", known[8])
        return common | {
            "kind": EventKind.TCP.value, "src_ip": segment.src[0], "dst_ip": segment.dst[0], "src_port": segment.src[1],
            "dst_port": segment.dst[1], "seq": segment.seq, "ack": segment.ack, "window": segment.window,
            "tcp_flags": segment.flags, "options": options, "mss": int.from_bytes(segment.options.get(2, b"\0"), "big"),
            "wscale": min(int.from_bytes(segment.options.get(3, b"\0"), "big"), 14), "payload": segment.payload,
            "plain": segment.flags | 8 == ACK | 8 and not set(known) - {8}, "stamped": 8 in known, "filled": bool(segment.payload),
            "key": (segment.src[0], segment.dst[0], segment.src[1], segment.dst[1], 6, port)}

    def deadline(self):
        """Ticks until the next timer event, or None."""
        if not self.alive or not self.active or not self.timers:
            return None
        return min(0 if before(t, self.now()) else (t - self.now()) & 0xFFFFFFFF for t in self.timers.values())

    def tick(self):
        """Timer events that are due."""
        if self.alive and self.active:
            for conn in [c for c, t in self.timers.items() if not before(self.now(), t)]:
                del self.timers[conn]
                self.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.DEADLINE.value, "conn": conn, "seq": self.now()})

    def take_over(self, epoch, protect=0):
        """Become active: one register, then the walker's KICK to every connection."""
        self.base += TICK_MARGIN
        self.active, self.epoch, self.protect = 1, epoch, protect
        self.memory = self._empty_memory()
        self.kick()

    def kick(self):
        for conn in sorted(self.in_use):
            self.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.KICK.value, "conn": conn, "seq": self.now()})

    # one event ----------------------------------------------------------------------------
    def run(self, fields):
        """Run one event; returns the simulator's result."""
        if not self.alive:
            return None
        self.events += 1
        core, slot = self.cores[self.events % len(self.cores)], self.events % 4
        conn = fields.get("conn", 0)
        flow = not fields.get("noflow")
        if flow:
            core.load_workspace(slot, self.unwritten.get(conn) or self.flowstates[conn])
            if conn in self.restarts:
                fields = fields | {"restart": 1}
                self.restarts.discard(conn)
        result = core.run_event(event_words(**fields), slot)
        if result.trap is not None:
            raise ProgramError(f"trap {result.trap:#x} at {result.trap_pc} in event {fields}")
        self.steps.append((fields["kind"], fields.get("payload_len", 0), result.steps, len(result.messages)))
        ref = fields.get("scratch_ref")
        kept = self.lose(self.events, result) if self.lose else None
        if flow:
            words = core.workspace(slot)
            self._check_state(words)
            if kept is None:
                self.unborn.discard(conn)
                self.unwritten[conn] = words
                if self.write_back():
                    self.flowstates[conn] = self.unwritten.pop(conn)
        for message in result.messages[:kept]:
            self._message([w for beat in message for w in (beat & 0xFFFFFFFF, beat >> 32)], conn, flow and words)
        if kept is not None:
            self._lost(conn, flow, ref)
            self._open_gate()
            return result
        if ref is not None and ref in self.scratch:
            raise ProgramError(f"payload {ref} was neither copied nor released: {fields}")
        if flow:
            self.timers.pop(conn, None)
            if result.close:
                if any(value[0] == conn for value in self.keys.values()):
                    raise ProgramError(f"connection {conn} closed with its keys in place")
                if any(self.memory.of((conn, direction)) for direction in (0, 1)):
                    raise ProgramError(f"connection {conn} closed with pages in socket memory")
                self.in_use.discard(conn)
                self.half_open.discard(conn)
            elif result.deadline:
                self.timers[conn] = result.deadline
        self._open_gate()
        return result

    def _lost(self, conn, flow, ref):
        """The core is lost in the middle of an event: hardware gives the payload back, the director what is left of the flow."""
        self.losses += 1
        self.scratch.pop(ref, None)
        if flow:
            self.unwritten.pop(conn, None)
            if conn in self.unborn:
                self.keys = {key: where for key, where in self.keys.items() if where[0] != conn}
                self.in_use.discard(conn)
                self.half_open.discard(conn)
                self.timers.pop(conn, None)
            else:
                self.restarts.add(conn)
                self.timers[conn] = self.now() | 1

    def _message(self, words, conn, state):
        """state: words of the workspace after the event, False for an event without a flow."""
        kind, length = MessageKind(words[0] & 0xFF), words[0] >> STRUCTS["MessageHeader"]["length"].lsb & 0xFF
        if len(words) != 2 * (length + 1):
            raise ProgramError(f"{kind} says {length} beats and has {len(words) // 2 - 1}")
        if kind is MessageKind.COPY:
            payload = self._release(words[2] & 0xFFFF)
            skip, count = words[2] >> 16, words[3] & 0xFFFF
            if skip + count > len(payload) or count == 0 or words[5] & 0xFFFF != conn:
                raise ProgramError(f"copy of {count} bytes after {skip} from {len(payload)}, connection {words[5] & 0xFFFF}")
            problem = self.memory.write((conn, words[5] >> 16 & 1), words[5] >> 17 & 3, words[4], payload[skip:skip + count])
            self.lowest = [min(pair) for pair in zip(self.lowest, self.memory.free)]
            if problem:
                raise ProgramError(f"copy of {count} bytes to {words[4]:#x}: {problem}, free pages {self.memory.free}")
        elif kind is MessageKind.RELEASE:
            self._release(words[1] & 0xFFFF)
            self.refused += words[1] >> 16 & 1
        elif kind is MessageKind.OUTPUT:
            output = Output(words)
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
                self.emit(self, output.iface, output.frame)
        elif kind in (MessageKind.SYNC, MessageKind.CONSUMED):
            for direction in (0, 1):
                if words[1] >> 16 & 3 == RecordKind.RETIRE:
                    self.memory.drop((conn, direction))
                else:
                    self.memory.release((conn, direction), words[2 + SND_UNA[1 - direction]])
            if kind is MessageKind.SYNC:
                self.issued += 1
                if words[1] >> 16 & 3 != RecordKind.RETIRE:   # flowstate memory gets what the standby gets
                    self._keep_record(conn, words)
                self.record(self, self.issued, words)
        elif kind in (MessageKind.INSERT, MessageKind.DELETE):
            key = (words[2], words[3], words[4] & 0xFFFF, words[4] >> 16, words[5] & 0xFF, words[5] >> 8 & 0xFFF)
            where = words[1] & 0xFFFF, words[1] >> 16 & 1
            if kind is MessageKind.INSERT:
                if key in self.keys and not self.losses:
                    raise ProgramError(f"key {key} inserted twice")
                self.keys[key] = where
            elif self.keys.pop(key, None) != where and not self.losses:     # a lost event may have done it before
                raise ProgramError(f"key {key} of {where} deleted, but not there")
        elif kind is MessageKind.ESTABLISHED:
            if words[1] & 0xFFFF != conn:
                raise ProgramError(f"connection {words[1] & 0xFFFF} established in an event of {conn}")
            self.half_open.discard(conn)
        else:
            raise ProgramError(f"message {kind} from a program")

    def _release(self, ref):
        if ref not in self.scratch:
            raise ProgramError(f"payload {ref} released twice or unknown")
        return self.scratch.pop(ref)

    def _check_state(self, words):
        """Nothing for now but the flags: hard state belongs to a connection that exists."""
        flags = words[0]
        if flags >> ConnFlag.PROTECTED & 1 and not flags >> ConnFlag.VALID & 1:
            raise ProgramError("protected without being valid")

    # outputs --------------------------------------------------------------------------------
    def _frame(self, o):
        if o.flags & OutputFlag.ARP:
            return arp_frame(o.mac, Arp(2, self.mac, o.local_ip, o.mac, o.remote_ip))
        payload = self.memory.read((o.conn, o.direction), o.pool, o.seq, o.length)
        if payload is None:
            return None
        options = (mss_option(o.mss) if o.flags & OutputFlag.MSS else b"")
        options += wscale_option(o.wscale) if o.flags & OutputFlag.WSCALE else b""
        options += sack_permitted_option() if o.flags & OutputFlag.SACK_PERMITTED else b""
        options += timestamp_option(*o.stamp) if o.flags & OutputFlag.TIMESTAMP else b""
        options += sack_option([o.sack]) if o.flags & OutputFlag.SACK else b""
        return tcp_frame(o.mac, self.mac, (o.local_ip, o.local_port), (o.remote_ip, o.remote_port), seq=o.seq, ack=o.ack,
                         flags=o.tcp_flags, window=o.window, payload=payload, options=options)

    def confirm(self, number):
        """The other unit has applied every record up to `number`."""
        self.confirmed = max(self.confirmed, number)
        self._open_gate()

    def _open_gate(self):
        while self.alive and self.gate and (self.gate[0].behind <= self.confirmed or not self.protect):
            output = self.gate.popleft()
            frame = self._frame(output)     # egress reads socket memory when the output leaves
            if frame is None:
                self.stale += 1
                continue
            if frame != output.frame:
                raise ProgramError(f"socket memory changed under a gated output: {output}")
            self.emit(self, output.iface, frame)

    # records --------------------------------------------------------------------------------
    def _store_lines(self, conn, words):
        """The lines of a SYNC message into flowstate memory; returns the flowstate."""
        lines = FULL_LINES if words[1] >> 16 & 3 else DELTA_LINES
        body = words[2:]
        if len(body) != len(lines) * LINE_WORDS:
            raise ProgramError(f"record of kind {words[1] >> 16 & 3} has {len(body)} words")
        state = self.flowstates[conn] = list(self.flowstates[conn])
        for i, line in enumerate(lines):
            state[line * LINE_WORDS:(line + 1) * LINE_WORDS] = body[i * LINE_WORDS:(i + 1) * LINE_WORDS]
        return state

    def _keep_record(self, conn, words):
        """What the standby is told goes into our own flowstate memory too."""
        self._store_lines(conn, words)

    def apply(self, words):
        """A record of the other unit (words of its SYNC message)."""
        conn, kind = words[1] & 0xFFFF, words[1] >> 16 & 3
        self.flowstates.setdefault(conn, self._garbage())
        state = self._store_lines(conn, words)
        keys = []
        for leg, first in ((0, 16), (1, 64)):
            line = state[first:first + 8]
            keys.append(((line[3], line[2], line[4] >> 16, line[4] & 0xFFFF, 6, line[0] >> 16 & 0xFF), (conn, leg)))
        if kind == 1:
            self.in_use.add(conn)
            self.keys |= dict(keys)
        elif kind == 2:
            for key, _ in keys:
                self.keys.pop(key, None)
            self.in_use.discard(conn)
            self.flowstates[conn] = self._garbage()
