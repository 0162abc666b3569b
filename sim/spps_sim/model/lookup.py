"""Model of the lookup controller and of the timer unit.

The hash is written again from the HalfSipHash paper and its reference code; keys are packed from the field widths of
patent §III.A. The model is stepped in the order in which the block takes events and commands.
"""
from collections import Counter

__all__ = ["half_siphash", "flow_key", "LookupModel", "TimerModel"]

_M = 0xFFFFFFFF
_TCP, _ICMP = 1, 3              # event kinds
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_INSERT, _DELETE, _FREE, _ESTABLISHED, _PURGE, _NOTE, _TIME_WAIT, _COVERED = range(8)
_NOTES = "icmp_too_big", "icmp_refused", "icmp_old", "icmp_ignored"
_WAITING = 4                    # SYNs that can wait


def _rot(x, n):
    return (x << n | x >> 32 - n) & _M


def half_siphash(message, key, c=2, d=4):
    """64-bit HalfSipHash-c-d of bytes under 8 key bytes, as 8 bytes."""
    k0, k1 = (int.from_bytes(key[i:i + 4], "little") for i in (0, 4))
    v0, v1, v2, v3 = k0, k1 ^ 0xEE, 0x6C796765 ^ k0, 0x74656462 ^ k1

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = v0 + v1 & _M
            v1 = _rot(v1, 5) ^ v0
            v0 = _rot(v0, 16)
            v2 = v2 + v3 & _M
            v3 = _rot(v3, 8) ^ v2
            v0 = v0 + v3 & _M
            v3 = _rot(v3, 7) ^ v0
            v2 = v2 + v1 & _M
            v1 = _rot(v1, 13) ^ v2
            v2 = _rot(v2, 16)

    whole = len(message) // 4 * 4
    words = [message[i:i + 4] for i in range(0, whole, 4)]
    words.append(message[whole:].ljust(3, b"\0") + bytes([len(message) & 255]))
    for word in words:
        m = int.from_bytes(word, "little")
        v3 ^= m
        rounds(c)
        v0 ^= m
    v2 ^= 0xEE
    rounds(d)
    low = v1 ^ v3
    v1 ^= 0xDD
    rounds(d)
    return low.to_bytes(4, "little") + (v1 ^ v3).to_bytes(4, "little")


def flow_key(src_ip, dst_ip, src_port, dst_port, iface, protocol=6):
    """116 bits, the first field least significant."""
    return src_ip | dst_ip << 32 | src_port << 64 | dst_port << 80 | protocol << 96 | iface << 104


class LookupModel:
    """Say with event() and command() what must come out; the block chooses `conn` of a new flow, created() takes it.

    The table is modelled with its buckets, because only they say when a key finds no room. Which buckets a key has,
    and which of them it goes into, is part of the contract of the block: README.md of `spps.lookup`, "Where a key may
    be".
    """

    def __init__(self, connections, secret):
        self.n, self.secret = connections, secret.to_bytes(8, "little")
        self.buckets = [[] for _ in range(connections)]     # of [key, conn, leg], at most 4
        self.used, self.half_open = set(), set()
        self.covered = set()                        # those in use of which the standby needs no more
        self.time_wait, self.ending = [], set()     # conns in TIME-WAIT in order of entry; those about to be free
        self.waiting = []                           # SYNs, each the fields of an event
        self.count = Counter()
        self.active = self.half_open_limit = self.silent = 0

    def hash(self, key):
        """HalfSipHash of a key under the secret, 8 bytes."""
        return half_siphash(key.to_bytes(16, "little"), self.secret)

    def _choices(self, key):
        low = int.from_bytes(self.hash(key)[:4], "little")
        first, second = low % self.n, (low >> 16) % self.n
        return self.buckets[first], self.buckets[second if second != first else first ^ 1]

    def find(self, key):
        """Entry [key, conn, leg] of a key, or None."""
        for bucket in self._choices(key):
            for entry in bucket:
                if entry[0] == key:
                    return entry
        return None

    def _insert(self, key, conn, leg):
        first, second = self._choices(key)
        bucket = second if len(second) < len(first) else first
        if len(bucket) == 4:
            return False
        bucket.append([key, conn, leg])
        return True

    def event(self, e):
        """Look up the flow of an event; e: its fields as a dict.

        Returns ("out", changes), ("new", changes without conn), ("drop", reference or None), or ("recycle", conn,
        reference or None).
        """
        reference = ("drop", e["scratch_ref"] if e["payload_len"] else None)
        if not self.active:
            self.count["standby_drop"] += 1
            return reference
        noflow = ("out", {"conn": 0, "leg": 0, "new": 0, "noflow": 1})
        if e["kind"] not in (_TCP, _ICMP):
            self.count["noflow"] += 1
            return noflow
        key = flow_key(*(e[f] for f in ("src_ip", "dst_ip", "src_port", "dst_port", "iface", "protocol")))
        entry = self.find(key)
        if entry:
            self.count["hits"] += 1
            return "out", {"conn": entry[1], "leg": entry[2], "new": 0, "noflow": 0}
        if e["kind"] == _ICMP:          # about a segment that nobody here sent
            self.count["icmp_noflow"] += 1
            return reference
        if e["tcp_flags"] & (_SYN | _RST | _ACK) != _SYN:
            self.count["noflow"] += 1
            return noflow
        if self.half_open_limit and len(self.half_open) >= self.half_open_limit:
            self.count["half_open_refused"] += 1
            self.count["refused"] += 1
            return reference
        full = len(self.used) == self.n
        if full:
            promised = len(self.waiting) < len(self.ending)
            if not e["tcp_flags"] & _FIN and len(self.waiting) < _WAITING and (promised or self.time_wait):
                self.waiting.append(e)
                self.count["parked"] += 1
                if promised:
                    return reference
                self.count["recycled"] += 1
                self.ending.add(conn := self.time_wait.pop(0))
                return "recycle", conn, reference[1]
        if full or not self._insert(key, None, 0):
            self.count["table_full" if full else "insert_failed"] += 1
            self.count["refused" if self.silent else "noflow"] += 1
            return reference if self.silent else noflow
        self.count["created"] += 1
        self._fresh = self.find(key)
        return "new", {"leg": 0, "new": 1, "noflow": 0, "sack_left": int.from_bytes(self.hash(key)[4:], "little")}

    def retry(self):
        """Return the SYN that has waited longest: it is looked up again."""
        self.count["retried"] += 1
        return self.waiting.pop(0)

    def replay(self, syn):
        """Take a SYN that a core sends back."""
        self.count["replayed"] += 1
        if len(self.waiting) == _WAITING:
            self.count["replay_lost"] += 1
        else:
            self.waiting.append(syn)

    def exposed(self):
        """Return how many established connections would be lost with this unit."""
        return len(self.used - self.half_open - self.covered)

    def uncover(self):
        """Take note that no connection has a record at the standby."""
        self.covered.clear()

    def _over(self, conn):
        self.time_wait = [c for c in self.time_wait if c != conn]
        self.ending.discard(conn)

    def _free(self, conn):
        self._over(conn)
        for kept in (self.used, self.half_open, self.covered):
            kept.discard(conn)

    def created(self, conn):
        """The block has given `conn` to the flow of the last event()."""
        assert conn < self.n and conn not in self.used, f"conn {conn} given away twice"
        self.used.add(conn)
        self.half_open.add(conn)
        assert self._fresh is not None, "no event() has made a flow"
        self._fresh[1] = conn

    def command(self, op, conn, leg, key, half_open=0):
        """Carry out INSERT, DELETE, FREE, ESTABLISHED, PURGE, NOTE, TIME_WAIT or COVERED."""
        if op == _NOTE:                 # conn is its number
            if conn < len(_NOTES):
                self.count[_NOTES[conn]] += 1
        elif conn >= self.n:
            self.count["bad_conn"] += 1
        elif op == _FREE:
            self._free(conn)
        elif op == _ESTABLISHED:
            self.half_open.discard(conn)
            if half_open:
                self.half_open |= {conn} & self.used
        elif op == _COVERED:
            self.covered |= {conn} & self.used
        elif op == _TIME_WAIT:
            if conn not in self.time_wait and conn not in self.ending:
                self.time_wait.append(conn)
        elif op == _PURGE:
            self._free(conn)
            self.count["purged"] += 1
            for bucket in self.buckets:
                bucket[:] = [b for b in bucket if b[1] != conn]
        elif op == _INSERT:
            entry = self.find(key)
            self.used.add(conn)
            if entry:
                entry[1:] = conn, leg
            elif not self._insert(key, conn, leg):
                self.count["insert_failed"] += 1
        else:
            entry = self.find(key)
            if leg == 0:
                self._over(conn)
                self.ending.add(conn)
            if entry is None:
                self.count["delete_missing"] += 1
            for bucket in self._choices(key):
                bucket[:] = [b for b in bucket if b is not entry]


class TimerModel:
    """Deadlines and kicks of connections, as set and as offered."""

    def __init__(self, connections):
        self.n = connections
        self.deadline = {}      # conn -> tick
        self.kick = set()
        self.count = Counter()

    def set(self, conn, deadline):
        """Set the deadline of a connection; 0 clears it."""
        if conn >= self.n:
            self.count["bad_conn"] += 1
        elif deadline:
            self.deadline[conn] = deadline
        else:
            self.deadline.pop(conn, None)

    def offered(self, conn, kick, taken):
        """Take the director's answer to an event of conn: a kick is over if it was taken, a deadline in both cases."""
        if kick and taken:
            self.kick.remove(conn)

    def late(self, conn, now):
        """Whether the deadline of conn has passed."""
        return conn in self.deadline and (now - self.deadline[conn]) % 2**32 < 2**31
