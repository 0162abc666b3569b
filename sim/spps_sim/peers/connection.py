"""One TCP connection of a Python peer, in simulated time.

Source: RFC 9293 §3.10 (states), RFC 6298 (RTO), RFC 5681 and 6582 (congestion, fast retransmit, partial ACKs),
RFC 5961 (challenge ACKs), RFC 7323 (window scale, time stamps), RFC 2018 (SACK). Numbers are kept as unwrapped offsets from the ISN:
offset 0 is the SYN, offset 1 the first byte, and the FIN follows the last byte.
"""
from dataclasses import dataclass
from enum import Enum

from ..wire import ACK, FIN, RST, SYN
from .frames import mss_option, sack_option, sack_permitted_option, timestamp_option, wscale_option
from .reassembly import ReassemblyQueue
from .rto import RetransmissionTimer
from .timestamps import Timestamps

__all__ = ["TcpConfig", "TcpConnection", "State"]

PSH = 8
MASK = 0xFFFFFFFF
DEFAULT_MSS = 536       # RFC 9293 §3.7.1, without the option


class State(Enum):
    CLOSED = 0
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10


SYNCHRONIZED = frozenset(State) - {State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED}
#: our FIN may be outstanding
CLOSING = frozenset({State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
#: data of the peer is still welcome
RECEIVING = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


@dataclass
class TcpConfig:
    """Times in cycles. mss: announced and never exceeded. window: receive buffer in bytes. wscale: shift or None for no option.

    sack: RFC 2018. A sender with SACK takes what is not SACKed below a SACKed byte for lost at once (RFC 8985 without a reordering
    window) and counts no duplicate ACK without a block, as Linux does.
    timestamps: RFC 7323, with a clock of one tick per stamp_cycles that starts at stamp_base; round-trip times then come from TSecr.
    """
    mss: int = 1460
    window: int = 65535
    wscale: "int | None" = None
    rto_initial: int = 40_000
    rto_min: int = 20_000
    rto_max: int = 1_000_000
    msl: int = 20_000
    retries: int = 12
    initial_window: int = 10
    dup_acks: int = 3
    sack: bool = False
    timestamps: bool = False
    stamp_cycles: int = 100
    stamp_base: int = 0

    def __post_init__(self):
        for name, low, high in (("mss", 64, 65495), ("window", 1, 1 << 30), ("initial_window", 1, 1000), ("retries", 1, 100)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)}: must be from {low} to {high}")
        if self.wscale is not None and not 0 <= self.wscale <= 14:
            raise ValueError(f"wscale={self.wscale}: must be from 0 to 14, or None")


def unwrap(number, isn, near):
    """The offset of a 32-bit number from `isn`, closest to offset `near`."""
    distance = (number - isn - near) & MASK
    return near + distance - ((distance & 0x80000000) << 1)


class TcpConnection:
    """One connection. emit(seq, ack, flags, window, payload, options) sends a segment; now() is the time in cycles.

    Applications write(), close(), abort(), set `on_event` (called with (connection, what), what being "established",
    "data", "fin", "closed" or "reset") and read `received`. `history` keeps (time, what) of everything notable.
    """

    def __init__(self, config, local, remote, iss, emit, now, *, on_event=None):
        self.config, self.local, self.remote = config, local, remote
        self._emit, self._now = emit, now
        self.on_event = on_event or (lambda connection, what: None)
        self.state = State.CLOSED
        self.history = []
        self.iss, self.irs = iss, None
        self.outgoing = bytearray()
        self.queue = ReassemblyQueue()
        self.una = self.nxt = self.max = 0      # offsets
        self.closing = False
        self.peer_fin = None                    # offset
        self.fin_numbers = set()                # every offset a FIN was seen at: one, if all is well
        self.fin_taken = False
        self.wnd, self.wl1, self.wl2 = 0, 0, 0
        self.max_wnd = 0
        self.mss = min(config.mss, DEFAULT_MSS)
        self.snd_shift = self.rcv_shift = 0
        self.edge = 0                           # right edge announced, offset
        self.reading = True                     # False: the application leaves bytes in the buffer
        self.consumed = 0
        self.cwnd = self.ssthresh = 0
        self.dup_acks, self.recover = 0, None
        self.stamps = Timestamps(config, now)
        self.sack = False                       # both sides sent SACK-permitted
        self.sacked = []                        # [left, right] offsets beyond una, ascending
        self.resent = 0                         # holes below this offset were resent in this recovery
        self.timer = RetransmissionTimer(config.rto_initial, config.rto_min, config.rto_max)
        self._timed = None                      # (offset, time) of the segment being measured
        self._retries = 0
        self._linger = None                     # end of TIME-WAIT
        self.counters = dict.fromkeys(("sent", "received", "retransmitted", "fast_retransmits", "timeouts", "challenge_acks",
                                       "acks_of_unsent", "probes", "paws", "unstamped"), 0)
        self.ack_regressions = []
        self.edge_regressions = []
        self._peer_edge = None

    # application ---------------------------------------------------------------------------
    @property
    def received(self):
        """Bytes received in order so far."""
        return self.queue.stream

    @property
    def finished(self):
        """Both directions ended cleanly: our FIN is acknowledged and the peer's was taken."""
        return self.fin_taken and self.state in (State.TIME_WAIT, State.CLOSED) and not self.was("reset") and not self.was("timeout")

    def was(self, what):
        """How often `what` stands in the history."""
        return sum(1 for _, entry in self.history if entry == what)

    def open(self):
        """Active open."""
        self.state = State.SYN_SENT
        self._note("syn")
        self.output()

    def accept(self, segment):
        """Passive open: answer a SYN."""
        self.state = State.SYN_RECEIVED
        self._take_syn(segment)
        self.output()

    def write(self, data):
        if self.closing:
            raise ValueError("write after close")
        self.outgoing += data
        self.output()

    def close(self):
        """No more data; the FIN follows the last byte."""
        if not self.closing:
            self.closing = True
            self.output()

    def abort(self):
        if self.state in SYNCHRONIZED or self.state is State.SYN_RECEIVED:
            self._segment(self.nxt, RST | ACK)
        self._end("abort")

    def read(self):
        """With reading=False: take what is in the buffer, announce the window."""
        self.consumed = self.queue.next
        self._ack()

    # helpers -------------------------------------------------------------------------------
    def _note(self, what):
        self.history.append((self._now(), what))
        self.on_event(self, what)

    def _end(self, what):
        self.state = State.CLOSED
        self.timer.stop()
        self._linger = None
        self._note(what)

    @property
    def rcv_nxt(self):
        return 1 + self.queue.next + self.fin_taken

    @property
    def last(self):
        """Offset after everything to send, FIN included."""
        return 1 + len(self.outgoing) + self.closing

    def _window(self):
        """The window field, never taking the right edge back."""
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
        if self.state is not State.CLOSED:
            blocks = self.queue.blocks()[:3] if self.sack else []
            self._segment(self.nxt, ACK, options=sack_option([(self.irs + 1 + a, self.irs + 1 + b) for a, b in blocks]) if blocks else b"")

    # sending -------------------------------------------------------------------------------
    def output(self):
        """Send what windows allow."""
        if self.state in (State.SYN_SENT, State.SYN_RECEIVED):
            if self.nxt == 0:
                self._send_syn()
            return
        if self.state is State.CLOSED or self.state is State.TIME_WAIT:
            return
        limit = self.una + min(self.wnd, self.cwnd)
        while self.nxt < self.last:
            end = min(limit, self.nxt + self.mss, 1 + len(self.outgoing))
            payload = bytes(self.outgoing[self.nxt - 1:max(self.nxt, end) - 1])
            at_end = self.nxt + len(payload) == 1 + len(self.outgoing)
            fin = self.closing and at_end and self.nxt + len(payload) < limit
            if not payload and not fin:
                break
            self._send(self.nxt, payload, fin)
        if self.timer.deadline is None and (self.una < self.max or (self.nxt < self.last and self.wnd == 0)):
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
            self._timed = None
        elif self._timed is None:
            self._timed = (end, self._now())
        if fin and self.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.state = State.FIN_WAIT_1 if self.state is State.ESTABLISHED else State.LAST_ACK
        flags = ACK | (FIN if fin else 0) | (PSH if payload and offset + len(payload) == 1 + len(self.outgoing) else 0)
        self.nxt = max(self.nxt, end)
        self.max = max(self.max, end)
        self._segment(offset, flags, payload)

    def _resend_first(self):
        payload = bytes(self.outgoing[self.una - 1:self.una - 1 + self.mss])
        fin = self.closing and self.una + len(payload) == 1 + len(self.outgoing) and self.max == self.last
        self._send(self.una, payload, fin)
        self.timer.start(self._now())

    def deadline(self):
        """Earliest time at which tick() has work, or None."""
        return self._linger if self._linger is not None else self.timer.deadline

    def tick(self):
        now = self._now()
        if self._linger is not None:
            if now >= self._linger:
                self._end("closed")
            return
        if self.timer.deadline is None or now < self.timer.deadline:
            return
        if self.wnd == 0 and self.una < self.last and self.state in SYNCHRONIZED:
            self._probe()
            return
        if self.una == self.max:
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
        self.ssthresh = max((self.max - self.una) // 2, 2 * self.mss)
        self.cwnd = self.mss
        self.recover, self.dup_acks = None, 0
        self.sacked = []                        # RFC 2018 §8: the receiver may have given it up
        self.nxt = self.una
        self.output()

    def _probe(self):
        """One byte, or the FIN, into a closed window; for ever (RFC 9293 §3.8.6.1)."""
        self.counters["probes"] += 1
        byte = bytes(self.outgoing[self.una - 1:self.una])
        self._timed = None
        self.max = max(self.max, self.una + 1)
        self.nxt = max(self.nxt, self.una + 1)
        self._segment(self.una, ACK if byte else ACK | FIN, byte)
        self.timer.back_off(self._now())

    def _send_syn_again(self):
        deadline = self.timer.deadline
        self.counters["retransmitted"] += 1
        self._send_syn()
        self._timed = None
        self.timer.deadline = deadline

    # receiving -----------------------------------------------------------------------------
    def _take_syn(self, segment):
        self.irs = segment.seq
        if 2 in segment.options and len(segment.options[2]) == 2:
            self.mss = min(self.config.mss, int.from_bytes(segment.options[2], "big"))
        self._peer_scaled = len(segment.options.get(3, b"")) == 1
        if self._peer_scaled and self.config.wscale is not None:
            self.snd_shift, self.rcv_shift = min(segment.options[3][0], 14), self.config.wscale
        self.sack = self.config.sack and 4 in segment.options
        self.stamps.negotiated(segment)
        if self.stamps.on:
            self.mss -= 12
        self.wnd = self.max_wnd = segment.window
        self.edge = 1 + min(self.config.window, 65535)
        self.cwnd = self.config.initial_window * self.mss
        self.ssthresh = 1 << 30

    def _established(self, segment, ack):
        self.una, self.nxt = max(self.una, 1), max(self.nxt, 1)
        self.wl1, self.wl2 = 0, ack
        self.state = State.ESTABLISHED
        self.timer.stop()
        self.timer.progress()
        self._retries = 0
        if self._timed:
            self.timer.sample(self._now() - self._timed[1])
            self._timed = None
        self._note("established")

    def receive(self, segment):
        """Take a segment that belongs to this connection."""
        self.counters["received"] += 1
        if self.state is State.SYN_SENT:
            self._receive_syn_sent(segment)
        elif self.state is not State.CLOSED:
            self._receive(segment)

    def _receive_syn_sent(self, segment):
        ack = unwrap(segment.ack, self.iss, self.una) if segment.flags & ACK else None
        if ack is not None and ack != 1:
            if not segment.flags & RST:
                self._emit(segment.ack, 0, RST, 0, b"", b"")
            return
        if segment.flags & RST:
            if ack is not None:
                self._end("refused")
            return
        if not segment.flags & SYN:
            return
        self._take_syn(segment)
        if ack is None:
            self.state, self.nxt = State.SYN_RECEIVED, 0
            self.output()
            return
        self._established(segment, ack)
        self._ack()
        self.output()

    def _acceptable(self, offset, length):
        window = max(0, self.edge - self.rcv_nxt)
        if not length:
            return offset == self.rcv_nxt if not window else self.rcv_nxt <= offset < self.rcv_nxt + window
        return window > 0 and offset < self.rcv_nxt + window and offset + length > self.rcv_nxt

    def _receive(self, segment):
        offset = unwrap(segment.seq, self.irs, self.rcv_nxt)
        if self.stamps.on and not segment.flags & RST:
            verdict = self.stamps.judge(segment)
            if verdict is not None:
                self.counters[verdict] += 1
                if verdict == "paws":
                    self._ack()
                return
        if segment.flags & FIN:
            self.fin_numbers.add(offset + len(segment.payload))
        if self.state is State.SYN_RECEIVED and segment.flags & (SYN | ACK | RST) == SYN and offset == 0:
            self._send_syn_again()
            return
        if not self._acceptable(offset, segment.length):
            if segment.flags & RST:
                return
            if segment.flags & ACK and self.state in SYNCHRONIZED:     # the ACK of an old duplicate is still news
                self._receive_ack(segment, offset, pure=False)
            if self._linger is not None and segment.flags & FIN:
                self._linger = self._now() + 2 * self.config.msl
            self._ack()
            self.output()
            return
        if segment.flags & RST:
            if offset != self.rcv_nxt:
                self._challenge()
            elif self.state is State.TIME_WAIT:
                self.history.append((self._now(), "late_reset"))        # RFC 1337, fix 1
            else:
                self._end("reset" if self.state in SYNCHRONIZED else "reset_half_open")
            return
        if segment.flags & SYN:
            self._challenge()
            return
        if not segment.flags & ACK:
            return
        self.stamps.taken(segment)
        if not self._receive_ack(segment, offset, pure=not segment.length):
            return
        if segment.length and self.state in RECEIVING:
            self._receive_data(segment, offset)
        elif segment.length:
            self._ack()
        self.output()

    def _challenge(self):
        self.counters["challenge_acks"] += 1
        self._ack()

    def _receive_ack(self, segment, offset, pure):
        """RFC 9293 §3.10.7.4, fifth. False: stop processing."""
        ack = unwrap(segment.ack, self.iss, self.una)
        if self.state is State.SYN_RECEIVED:
            if ack != 1:
                self._emit(segment.ack, 0, RST, 0, b"", b"")
                return False
            self._established(segment, ack)
        if ack > self.max:
            self.counters["acks_of_unsent"] += 1
            self._ack()
            return False
        window = segment.window << (0 if segment.flags & SYN else self.snd_shift)
        self._watch(ack, window, offset)
        if ack > self.una:
            self._acknowledged(ack)
        elif self.sack and self.recover is None:
            pass                                # only blocks tell of a loss
        elif ack == self.una and pure and window == self.wnd and self.max > self.una:
            self._duplicate_ack()
        self._take_sack(segment, ack)
        if ack >= self.una and (offset, ack) >= (self.wl1, self.wl2):
            reopened = self.wnd == 0 and window > 0
            self.wnd, self.wl1, self.wl2 = window, offset, ack
            self.max_wnd = max(self.max_wnd, window)
            if reopened and self.una == self.max:
                self.timer.stop()
                self.timer.progress()
                self._retries = 0
        return True

    def _take_sack(self, segment, ack):
        raw = segment.options.get(5, b"")
        if not self.sack or not raw or len(raw) % 8:
            return
        for i in range(0, len(raw), 8):
            left, right = (unwrap(int.from_bytes(raw[i + j:i + j + 4], "big"), self.iss, self.una) for j in (0, 4))
            if max(ack, self.una) < left < right <= self.max:
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
            self.recover, self.resent = self.max, self.una
            self.ssthresh = self.cwnd = max((self.max - self.una) // 2, 2 * self.mss)
        if merged:
            self._resend_holes()

    def _resend_holes(self):
        """What is missing below the highest SACKed byte, once per recovery and as far as cwnd allows."""
        at = max(self.una, self.resent)
        for left, right in self.sacked:
            while at < left and at < self.una + min(self.cwnd, self.wnd):
                end = min(left, at + self.mss)
                payload = bytes(self.outgoing[at - 1:end - 1])
                self._send(at, payload, end > 1 + len(self.outgoing))
                at = self.resent = end
            if at < left:
                return
            at = max(at, right)

    def _watch(self, ack, window, offset):
        """Remember if ACK or right edge go back, among segments that are not older than one seen before."""
        if self._peer_edge and (offset, ack) >= (self.wl1, self.wl2):
            if ack + window < self._peer_edge:
                self.edge_regressions.append((self._now(), self._peer_edge, ack + window))
        self._peer_edge = max(self._peer_edge or 0, ack + window)

    def _acknowledged(self, ack):
        fresh = ack - self.una
        if self.stamps.on:
            if self.stamps.round_trip is not None:
                self.timer.sample(self.stamps.round_trip)
        elif self._timed and ack >= self._timed[0]:
            self.timer.sample(self._now() - self._timed[1])
            self._timed = None
        self.una = ack
        self.nxt = max(self.nxt, ack)
        self._retries = 0
        self.timer.progress()
        self.sacked = [b for b in self.sacked if b[1] > ack]
        if self.sacked and self.sacked[0][0] <= ack:                # given up by the receiver
            self.sacked = []
        if self.recover is not None and ack < self.recover:         # NewReno partial ACK
            if self.sacked or ack < self.resent:
                self._resend_holes()
            else:
                self._resend_first()
        else:
            if self.recover is not None:
                self.cwnd, self.recover = self.ssthresh, None
            elif self.cwnd < self.ssthresh:
                self.cwnd += min(fresh, self.mss)
            else:
                self.cwnd += max(1, self.mss * self.mss // self.cwnd)
        self.dup_acks = 0
        if self.una == self.max:
            self.timer.stop()
        else:
            self.timer.start(self._now())
        if self.closing and self.una == self.last:
            self._fin_acknowledged()

    def _fin_acknowledged(self):
        if self.state is State.FIN_WAIT_1:
            self.state = State.FIN_WAIT_2
        elif self.state is State.CLOSING:
            self._time_wait()
        elif self.state is State.LAST_ACK:
            self._end("closed")

    def _duplicate_ack(self):
        self.dup_acks += 1
        if self.dup_acks == self.config.dup_acks and self.recover is None:
            self.counters["fast_retransmits"] += 1
            self.recover = self.max
            self.ssthresh = max((self.max - self.una) // 2, 2 * self.mss)
            self.cwnd = self.ssthresh + 3 * self.mss
            self._resend_first()
        elif self.recover is not None:
            self.cwnd += self.mss

    def _receive_data(self, segment, offset):
        room = self.edge - offset
        payload = segment.payload[:max(0, room)]
        fresh = self.queue.add(offset - 1, payload)
        if segment.flags & FIN and len(payload) == len(segment.payload) and self.peer_fin is None:
            self.peer_fin = offset + len(payload)
        if fresh:
            self._note("data")
        if self.peer_fin is not None and not self.fin_taken and self.rcv_nxt == self.peer_fin:
            self.fin_taken = True
            if self.state is State.ESTABLISHED:
                self.state = State.CLOSE_WAIT
            elif self.state is State.FIN_WAIT_1:
                self.state = State.CLOSING
            elif self.state is State.FIN_WAIT_2:
                self._time_wait()
            self._ack()
            self._note("fin")
            return
        self._ack()

    def _time_wait(self):
        self.state = State.TIME_WAIT
        self.timer.stop()
        self._linger = self._now() + 2 * self.config.msl
        self._note("time_wait")
