"""The sending half of a connection of a Python peer: windows, retransmission, congestion, probes.

Source: RFC 9293 §3.8, RFC 6298 (RTO), RFC 5681 and 6582 (congestion, fast retransmit, partial ACKs), RFC 2018 (SACK).
"""
from collections.abc import Callable

from ..checker.wire import ACK, FIN, RST, SYN
from .config import MASK, SYNCHRONIZED, State, TcpConfig, unwrap
from .frames import (
    mss_option,
    sack_option,
    sack_permitted_option,
    timestamp_option,
    wscale_option,
)
from .reassembly import ReassemblyQueue
from .rto import RetransmissionTimer
from .timestamps import Timestamps

__all__ = ["Sender"]

PSH = 8


class Sender:
    """Sending methods of a TcpConnection, which has the variables and changes the states."""

    config: TcpConfig
    state: State
    stamps: Timestamps
    timer: RetransmissionTimer
    queue: ReassemblyQueue
    outgoing: bytearray
    counters: dict[str, int]
    closing: bool
    fin_taken: bool
    reading: bool
    sack: bool
    iss: int
    irs: int
    mss: int
    wnd: int
    snd_una: int
    nxt: int
    max: int
    rcv_shift: int
    edge: int
    consumed: int
    cwnd: int
    ssthresh: int
    dup_acks: int
    recover: "int | None"
    again: int
    retransmitted: int
    sacked: list[list[int]]
    _peer_scaled: bool
    _timed: "tuple[int, int] | None"
    _retries: int
    _linger: "int | None"
    _now: Callable[[], int]
    _emit: Callable[..., None]
    _note: Callable[[str], None]
    _end: Callable[[str], None]
    _fin_acknowledged: Callable[[], None]

    @property
    def rcv_nxt(self):
        """Offset that is acknowledged to the peer."""
        return 1 + self.queue.next + self.fin_taken

    @property
    def last(self):
        """Offset after everything to send, FIN included."""
        return 1 + len(self.outgoing) + self.closing

    def _window(self):
        """Return the window field; the right edge never goes back."""
        if self.reading:
            self.consumed = self.queue.next
        edge = self.consumed + 1 + self.config.window
        self.edge = max(self.edge, edge)
        return min((self.edge - self.rcv_nxt) >> self.rcv_shift, 65535)

    def _segment(self, offset, flags, payload=b"", options=b""):
        window = min(self.config.window, 65535) if flags & SYN else max(0, self._window())
        ack = self.irs + self.rcv_nxt if flags & ACK else 0
        self.counters["sent"] += 1
        if self.stamps.on and not flags & RST:
            options = timestamp_option(*self.stamps.sent(ack & MASK if flags & ACK else None)) + options
        self._emit((self.iss + offset) & MASK, ack & MASK, flags, window, payload, options)

    def _ack(self):
        """Send a pure ACK. Its number is SND.MAX, or the right edge that the peer has taken back to, as in Linux."""
        if self.state is not State.CLOSED:
            blocks = self.queue.blocks()[:3] if self.sack else []
            first = self.irs + 1
            options = sack_option([(first + a, first + b) for a, b in blocks]) if blocks else b""
            self._segment(min(self.max, self.snd_una + self.wnd), ACK, options=options)

    def output(self):
        """Send what the windows allow."""
        if self.state in (State.SYN_SENT, State.SYN_RECEIVED):
            if self.nxt == 0:
                self._send_syn()
            return
        if self.state is State.CLOSED or self.state is State.TIME_WAIT:
            return
        limit = self.snd_una + min(self.wnd, self.cwnd)
        while self.nxt < self.last:
            end = min(limit, self.nxt + self.mss, 1 + len(self.outgoing))
            payload = bytes(self.outgoing[self.nxt - 1:max(self.nxt, end) - 1])
            at_end = self.nxt + len(payload) == 1 + len(self.outgoing)
            fin = self.closing and at_end and self.nxt + len(payload) < limit
            if not payload and not fin:
                break
            self._send(self.nxt, payload, fin)
        if self.timer.deadline is None and (self.snd_una < self.max or (self.nxt < self.last and self.wnd == 0)):
            self.timer.start(self._now())

    def _send_syn(self):
        first = self.state is State.SYN_SENT
        offer = self.config.wscale is not None and (first or self._peer_scaled)
        options = mss_option(self.config.mss) + (wscale_option(self.config.wscale) if offer else b"")
        options += sack_permitted_option() if self.config.sack and (first or self.sack) else b""
        if first:
            self.stamps.on = self.config.timestamps     # offered
        if self.max == 0:
            self._timed = (1, self._now())
        self.nxt = self.max = 1
        self._segment(0, SYN if first else SYN | ACK, options=options)
        self.timer.start(self._now())

    def _send(self, offset, payload, fin):
        end = offset + len(payload) + fin
        if offset < self.max:
            self.counters["retransmitted"] += 1
            self.again = max(self.again, end)
            self._timed = None
        elif self._timed is None:
            self._timed = (end, self._now())
        if fin and self.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.state = State.FIN_WAIT_1 if self.state is State.ESTABLISHED else State.LAST_ACK
        flags = ACK | (FIN if fin else 0) | (PSH if payload and offset + len(payload) == 1 + len(self.outgoing) else 0)
        self.nxt = max(self.nxt, end)
        self.max = max(self.max, end)
        self._segment(offset, flags, payload)

    def _retransmit_first(self):
        payload = bytes(self.outgoing[self.snd_una - 1:self.snd_una - 1 + self.mss])
        fin = self.closing and self.snd_una + len(payload) == 1 + len(self.outgoing) and self.max == self.last
        self._send(self.snd_una, payload, fin)
        self.timer.start(self._now())

    def deadline(self):
        """Return the earliest time at which tick() has work, or None."""
        return self._linger if self._linger is not None else self.timer.deadline

    def tick(self):
        """Retransmit, probe or end TIME-WAIT if that is due."""
        now = self._now()
        if self._linger is not None:
            if now >= self._linger:
                self._end("closed")
            return
        if self.timer.deadline is None or now < self.timer.deadline:
            return
        if self.wnd == 0 and self.snd_una < self.last and self.state in SYNCHRONIZED:
            self._probe()
            return
        if self.snd_una == self.max:
            self.timer.stop()
            return
        self._retries += 1
        self.counters["timeouts"] += 1
        self._note("rto")
        if self._retries > self.config.retries:
            self._end("timeout")
            return
        self._timed = None
        self.timer.back_off(now)
        if self.state in (State.SYN_SENT, State.SYN_RECEIVED):
            self._send_syn_again()
            return
        self.ssthresh = max((self.max - self.snd_una) // 2, 2 * self.mss)
        self.cwnd = self.mss
        self.recover, self.dup_acks = None, 0
        self.sacked = []                        # RFC 2018 §8: the receiver may have given it up
        self.nxt = self.snd_una
        self.output()

    def _probe(self):
        """Send one byte, or the FIN, into a closed window; without a limit of retries (RFC 9293 §3.8.6.1)."""
        self.counters["probes"] += 1
        byte = bytes(self.outgoing[self.snd_una - 1:self.snd_una])
        self._timed = None
        self.recover, self.dup_acks, self.sacked = None, 0, []      # as after any timeout
        if self.snd_una < self.max:
            self.again = max(self.again, self.snd_una + 1)
        self.max = max(self.max, self.snd_una + 1)
        self.nxt = max(self.nxt, self.snd_una + 1)
        self._segment(self.snd_una, ACK if byte else ACK | FIN, byte)
        self.timer.back_off(self._now())

    def _send_syn_again(self):
        deadline = self.timer.deadline
        self.counters["retransmitted"] += 1
        self._send_syn()
        self._timed = None
        self.timer.deadline = deadline

    def _take_sack(self, segment, ack):
        raw = segment.options.get(5, b"")
        if not self.sack or not raw or len(raw) % 8:
            return
        for i in range(0, len(raw), 8):
            left, right = (unwrap(int.from_bytes(raw[i + j:i + j + 4], "big"), self.iss, self.snd_una) for j in (0, 4))
            if max(ack, self.snd_una) < left < right <= self.max:
                self.sacked.append([left, right])
        merged = []
        for left, right in sorted(self.sacked):
            if merged and left <= merged[-1][1]:
                merged[-1][1] = max(right, merged[-1][1])
            else:
                merged.append([left, right])
        self.sacked = merged
        if merged and self.recover is None:
            self.counters["fast_retransmits"] += 1
            self.recover, self.retransmitted = self.max, self.snd_una
            self.ssthresh = self.cwnd = max((self.max - self.snd_una) // 2, 2 * self.mss)
        if merged:
            self._retransmit_holes()

    def _retransmit_holes(self):
        """Send what is missing below the highest SACKed byte, once per recovery and as far as cwnd allows."""
        at = max(self.snd_una, self.retransmitted)
        for left, right in self.sacked:
            while at < left and at < self.snd_una + min(self.cwnd, self.wnd):
                end = min(left, at + self.mss)
                payload = bytes(self.outgoing[at - 1:end - 1])
                self._send(at, payload, end > 1 + len(self.outgoing))
                at = self.retransmitted = end
            if at < left:
                return
            at = max(at, right)

    def _acknowledged(self, ack):
        fresh = ack - self.snd_una
        if self.stamps.on:
            if self.stamps.round_trip is not None:
                self.timer.sample(self.stamps.round_trip)
        elif self._timed and ack >= self._timed[0]:
            self.timer.sample(self._now() - self._timed[1])
            self._timed = None
        self.snd_una = ack
        self.nxt = max(self.nxt, ack)
        self._retries = 0
        self.timer.progress()
        self.sacked = [b for b in self.sacked if b[1] > ack]
        if self.sacked and self.sacked[0][0] <= ack:                # given up by the receiver
            self.sacked = []
        if self.recover is not None and ack < self.recover:         # NewReno partial ACK
            if self.sacked or ack < self.retransmitted:
                self._retransmit_holes()
            else:
                self._retransmit_first()
        else:
            if self.recover is not None:
                self.cwnd, self.recover = self.ssthresh, None
            elif self.cwnd < self.ssthresh:
                self.cwnd += min(fresh, self.mss)
            else:
                self.cwnd += max(1, self.mss * self.mss // self.cwnd)
        self.dup_acks = 0
        if self.snd_una == self.max:
            self.timer.stop()
        else:
            self.timer.start(self._now())
        if self.closing and self.snd_una == self.last:
            self._fin_acknowledged()

    def _duplicate_ack(self):
        self.dup_acks += 1
        if self.dup_acks == self.config.dup_acks and self.recover is None:
            self.counters["fast_retransmits"] += 1
            self.recover = self.max
            self.ssthresh = max((self.max - self.snd_una) // 2, 2 * self.mss)
            self.cwnd = self.ssthresh + 3 * self.mss
            self._retransmit_first()
        elif self.recover is not None:
            self.cwnd += self.mss
