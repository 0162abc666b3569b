"""An SPPS without clocks: the real microcode in the instruction-set simulator, everything around it in plain Python.

One event at a time runs to its end; then its messages are executed in order (`functional_messages`). `functional_pair`
puts two units between peers. Every rule that programs must keep is checked: a payload chain is given back exactly once,
no output of a protected connection passes ungated, no trap, no send of bytes that are not in socket memory.
"""
import random
import struct
from collections import Counter
from typing import Any

from spps.layouts.config import CONFIG
from spps.layouts.director import EndCause
from spps.layouts.event import EVENT_WORDS, EventKind, OptionFlag, TimerCause
from spps.layouts.flowstate import FLOWSTATE_WORDS, ConnFlag
from spps.layouts.neighbour import ARP_RESOLVE
from spps.layouts.socket import PoolBit
from spps.params import TINY
from spps.ucode.iss import CoreIss
from spps.ucode.names import STRUCTS

from ..checker.wire import ACK, RST, SYN, before, parse_segment
from ..peers.frames import parse_arp, parse_unreachable
from .functional_messages import TCP, MessageEffects, Output, ProgramError
from .neighbour import NeighbourModel

__all__ = ["FunctionalSpps", "LOW_WATERMARK", "Output", "ProgramError", "event_words"]

TICK_MARGIN = 2         # register tick_margin
LOW_WATERMARK = 4       # register socket_low_watermark, sixteenths of a pool
EVENT = STRUCTS["Event"]
TCP_OPTIONS = {2: OptionFlag.MSS, 3: OptionFlag.WSCALE, 4: OptionFlag.SACK_PERMITTED, 5: OptionFlag.SACK,
               8: OptionFlag.TIMESTAMP}


def event_words(**fields):
    """Return the 16 words of an event from its fields."""
    words = [0] * EVENT_WORDS
    for name, value in fields.items():
        field = EVENT[name]
        if not 0 <= int(value) < 1 << field.width:
            raise ValueError(f"{name}={value}: must fit {field.width} bits")
        words[field.word] |= int(value) << field.lsb
    return words


class FunctionalSpps(MessageEffects):
    """One unit of a pair.

    Parameters
    ----------
    name : int
        Number of the unit, for captures.
    image : Image
        Program.
    time : callable
        Ticks that have passed.
    config : dict
        Names of layouts.config -> value; others have their reset values.
    emit : callable
        emit(unit, port, frame).
    record : callable
        record(unit, number, words): a SYNC message was issued; the other unit answers with confirm(number).
    connections, socket_bytes, cores, page_bytes, pool_pages
        As in SppsParams, which checks them: memory runs short at the marks of the RTL.
    seed : int
        Of everything a program must not depend on: registers, scratch words, memory never written.
    active : bool
        Whether it is the active unit.
    isn_base, base : int
        Added to the ISN clock, and to the ticks in `now`.
    half_open_limit, refuse_silently : int
        As the registers.
    cycles_per_tick : int
        Of the CSR `cycles`.
    arp : dict
        Registers of the neighbour table; by default no ARP request is sent.
    """

    def __init__(self, name, image, time, config, emit, record, *, connections=TINY.connections, socket_bytes=16384,
                 seed=0, cores=TINY.cores, active=True, isn_base=0, base=0, page_bytes=TINY.page_bytes,
                 pool_pages=TINY.pool_pages, half_open_limit=0, refuse_silently=0, cycles_per_tick=7, arp=None):
        params = TINY.replace(name="functional", connections=connections, socket_bytes=socket_bytes, cores=cores,
                              page_bytes=page_bytes, pool_pages=pool_pages)
        self.config = {c.name: c.reset for c in CONFIG} | config
        neighbours = NeighbourModel((self.config["vip_0"], self.config["vip_1"]), {"arp_retries": 0} | (arp or {}))
        super().__init__(params, struct.pack("!HI", self.config["mac_hi"], self.config["mac_lo"]), emit, record,
                         random.Random(f"{name}/{seed}"), neighbours)
        self.name, self.time, self.base = name, time, base
        self.isn_base, self.cycles_per_tick = isn_base, cycles_per_tick
        self.active, self.epoch, self.joins, self.sync_ready = int(active), 1, 1, 1
        self.cores = [CoreIss(image, csr=self.csr, seed=f"{name}/{seed}/{i}") for i in range(cores)]
        for core in self.cores:
            core.mem = [self.random.getrandbits(32) for _ in core.mem]
        self.half_open_limit, self.half_open_refused = half_open_limit, 0
        self.refuse_silently, self.table_full, self.recycled = refuse_silently, 0, 0
        self.ended = Counter()      # EndCause of connections that were closed
        self.unwritten = {}         # conn -> words of a workspace that has not been written back
        self.restarts = set()       # conns that start again from flowstate memory
        self.unborn = set()         # new ones, no event of which has ended well
        # lose(event number, result) -> messages that get out before the core is lost, or None
        self.lose = None
        # after an event: is it written back, or does the flow go on in its workspace?
        self.write_back = lambda: True
        self.timers = {}
        self._next_ref = 1
        self.events = 0
        self.steps = []             # (kind, payload length, instructions)

    def now(self):
        """Return the tick counter."""
        return (self.time() + self.base) & 0xFFFFFFFF

    def hear(self, tick):
        """Take the tick of a heartbeat: this counter does not stay behind."""
        if before(self.now(), tick):
            self.base += tick - self.now()

    # what the program sees ----------------------------------------------------------------
    def csr(self, name):
        """Value of a CSR, `event_conn` excepted."""
        if name.startswith("cfg."):
            return self.config[name[4:]]
        return {"now": self.now(), "cycles": self.time() * self.cycles_per_tick,
                "isn_clock": self.time() * 250 + self.isn_base, "active": self.active,
                "epoch": self.epoch | self.joins << 16,
                "core_id": 0, "sync_ready": self.sync_ready, "protect": self.protect, "pool_status": self.pool_status(),
                "fast_ready": self.sync_ready & (self.pool_status() == self.pool_status(True))}[name]

    def pool_status(self, wanted=False):
        """Bits of PoolBit; wanted: those of every pool that has pages."""
        bits = 0
        sizes, counts = self.params.page_bytes, self.params.pool_pages
        for pool, (size, count, free) in enumerate(zip(sizes, counts, self.memory.free)):
            reserve = self.params.reserve_pages(size)
            bits |= (count and (wanted or free >= reserve)) << PoolBit.READY + pool
            bits |= (count and (wanted or free >= max(2 * reserve, count * LOW_WATERMARK >> 4))) << PoolBit.OPEN + pool
        return bits

    # events in ----------------------------------------------------------------------------
    def frame(self, port, data):
        """Take a frame from a network."""
        if not self.alive or not self.active:
            return
        fields = self._parse(port, data)
        if fields is None:
            return
        payload: bytes = fields.pop("payload", b"")
        key = fields.pop("key", None)
        if payload:
            ref, self._next_ref = self._next_ref, self._next_ref % 60000 + 1
            self.scratch[ref] = payload
            fields |= {"payload_len": len(payload), "scratch_ref": ref}
        if key is None:
            fields["noflow"] = 1
        elif key in self.keys:
            fields["conn"], fields["leg"] = self.keys[key]
        elif fields["kind"] == EventKind.ICMP.value:
            self.notes["icmp_noflow"] += 1
            return
        elif fields["tcp_flags"] & (SYN | ACK | RST) == SYN:
            self._open(fields, key)
            return
        else:
            fields["noflow"] = 1
        self.run(fields)

    def _open(self, fields, key):
        """Make a connection for a SYN: in the place of the oldest in TIME-WAIT, if there is no other; or refuse it."""
        free = [c for c in range(self.params.connections) if c not in self.in_use]
        crowded = self.half_open_limit and len(self.half_open) >= self.half_open_limit
        self.half_open_refused += bool(crowded)
        self.table_full += not (crowded or free or self.time_wait)
        if crowded or not free and (self.time_wait or self.refuse_silently):
            self.scratch.pop(fields.get("scratch_ref"), None)
            if self.time_wait and not crowded:
                self.recycled += 1
                self.waiting.append(fields | {"payload_len": 0, "scratch_ref": 0})
                self.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.RECYCLE.value, "seq": self.now(),
                          "conn": self.time_wait.pop(0)})
            return
        if not free:
            fields["noflow"] = 1
        else:
            conn = free[0]
            self.in_use.add(conn)
            self.half_open.add(conn)
            self.keys[key] = conn, 0
            self.flowstates[conn] = [0] * FLOWSTATE_WORDS      # the DMA clears it
            self.unwritten.pop(conn, None)
            self.restarts.discard(conn)
            self.unborn.add(conn)
            fields |= {"conn": conn, "new": 1, "sack_left": hash(key) & 0xFFFFFFFF, "sack_right": 0}
        self.run(fields)

    def _look_up_again(self, syns):
        """Look up SYNs that were sent back, or waited for a connection to end."""
        for fields in syns:
            key = tuple(fields[name] for name in ("src_ip", "dst_ip", "src_port", "dst_port")) + (TCP, fields["iface"])
            if key in self.keys:
                conn, leg = self.keys[key]
                self.run(fields | {"conn": conn, "leg": leg})
            else:
                self._open(dict(fields), key)

    def _parse(self, port, data) -> dict[str, Any] | None:
        common = {"iface": port, "src_mac_hi": int.from_bytes(data[6:8], "big"),
                  "src_mac_lo": int.from_bytes(data[8:12], "big")}
        arp = parse_arp(data)
        if arp is not None:
            return common | {"kind": EventKind.ARP.value, "subtype": arp.operation, "src_ip": arp.sender_ip,
                             "dst_ip": arp.target_ip}
        quote = parse_unreachable(data)
        if quote is not None:
            event = self._unreachable(port, quote)
            return event and common | event
        segment = parse_segment(data)
        if segment is None or segment.problems or port > 1 or segment.dst[0] != self.config[f"vip_{port}"]:
            return None         # not for us, RFC 1122 §3.2.1.3
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
            "plain": segment.flags | 8 == ACK | 8 and not set(known) - {8}, "stamped": 8 in known,
            "filled": bool(segment.payload),
            "key": (segment.src[0], segment.dst[0], segment.src[1], segment.dst[1], 6, port)}

    def _unreachable(self, port, message):
        """Event fields of an ICMP destination unreachable message for us, or None."""
        if port > 1 or message.dst != self.config[f"vip_{port}"]:
            return None
        src, dst = message.quoted_src, message.quoted_dst
        return {"kind": EventKind.ICMP.value, "subtype": message.code, "mss": message.next_mtu,
                "window": message.quoted_length, "src_ip": dst[0], "dst_ip": src[0], "src_port": dst[1],
                "dst_port": src[1], "seq": message.quoted_seq, "key": (dst[0], src[0], dst[1], src[1], 6, port)}

    def deadline(self):
        """Ticks until the next timer event or ARP request, or None."""
        if not self.alive or not self.active:
            return None
        waits = [0 if before(t, self.now()) else (t - self.now()) & 0xFFFFFFFF for t in self.timers.values()]
        next_hop = self.neighbours.deadline()
        if next_hop is not None and self.neighbours.registers["arp_retries"]:
            waits.append(max(0, next_hop - self.time() - self.base))
        return min(waits, default=None)

    def tick(self):
        """Timer events and ARP requests that are due."""
        if self.alive and self.active:
            for request in self.neighbours.advance(self.time() + self.base):
                self.run({"kind": EventKind.ARP.value, "subtype": ARP_RESOLVE, "noflow": 1, "iface": request.network,
                          "src_ip": request.ip, "dst_ip": self.neighbours.vips[request.network],
                          "src_mac_hi": request.target >> 32, "src_mac_lo": request.target & 0xFFFFFFFF})
            for conn in [c for c, t in self.timers.items() if not before(self.now(), t)]:
                if self.timers.pop(conn, None) is None:
                    continue            # the end of a connection before it has let a SYN reach this one
                self.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.DEADLINE.value, "conn": conn,
                          "seq": self.now()})

    def take_over(self, epoch, protect=0):
        """Become active: one register, then the walker's KICK to every connection."""
        self.base += TICK_MARGIN
        self.active, self.epoch, self.joins, self.protect = 1, epoch, 0, protect
        self.memory = self.empty_memory()
        self.waiting, self.time_wait = [], []
        self.kick()

    def kick(self):
        """Give every connection a KICK event, as the walker does after a change of role and when a standby joins."""
        for conn in sorted(self.in_use):
            self.run({"kind": EventKind.TIMER.value, "subtype": TimerCause.KICK.value, "conn": conn, "seq": self.now()})

    # one event ----------------------------------------------------------------------------
    def run(self, fields):
        """Run one event; returns the simulator's result."""
        if not self.alive:
            return None
        self.events += 1
        self.neighbours.now = self.time() + self.base
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
            self.execute([w for beat in message for w in (beat & 0xFFFFFFFF, beat >> 32)], conn, flow and words)
        if kept is not None:
            self._lost(conn, flow, ref)
            self.open_gate()
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
                self.covered.discard(conn)
                self.time_wait = [c for c in self.time_wait if c != conn]
                self.ended[EndCause(result.cause)] += 1
                self.replays, self.waiting = self.replays + self.waiting, []
            elif result.deadline:
                self.timers[conn] = result.deadline
        self.open_gate()
        replays, self.replays = self.replays, []
        self._look_up_again(replays)
        return result

    def _lost(self, conn, flow, ref):
        """Lose a core during an event: the payload is released, and the flow starts again from its last record."""
        self.losses += 1
        self.scratch.pop(ref, None)
        if flow:
            self.unwritten.pop(conn, None)
            if conn in self.unborn:
                self.keys = {key: where for key, where in self.keys.items() if where[0] != conn}
                self.in_use.discard(conn)
                self.half_open.discard(conn)
                self.covered.discard(conn)
                self.timers.pop(conn, None)
            else:
                self.restarts.add(conn)
                self.timers[conn] = self.now() | 1

    def _check_state(self, words):
        """Raise ProgramError for flags of hard state that exclude one another."""
        flags = words[0]
        if flags >> ConnFlag.PROTECTED & 1 and not flags >> ConnFlag.VALID & 1:
            raise ProgramError("protected without being valid")
