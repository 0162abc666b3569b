"""One TCP connection of a Python peer in simulated time: the application's side, what is received, and the states.

Source: RFC 9293 §3.10 (states), RFC 5961 (challenge ACKs), RFC 7323 (window scale, timestamps); `sender` has the rest.
Numbers are kept as unwrapped offsets from the ISN: offset 0 is the SYN, offset 1 the first byte, and the FIN follows
the last byte.
"""
from ..checker.wire import ACK, FIN, RST, SYN
from .config import RECEIVING, SYNCHRONIZED, State, unwrap
from .reassembly import ReassemblyQueue
from .rto import RetransmissionTimer
from .sender import Sender
from .timestamps import Timestamps

__all__ = ["TcpConnection"]

DEFAULT_MSS = 536       # RFC 9293 §3.7.1, without the option


class TcpConnection(Sender):
    """One connection.

    An application calls write(), close() and abort(), and reads `received`. `history` is a list of (time, what): the
    calls of on_event, and "late_reset".

    Parameters
    ----------
    config : TcpConfig
        Settings.
    local, remote : tuple
        (IPv4 number, port).
    iss : int
        Initial sequence number.
    emit : callable
        emit(seq, ack, flags, window, payload, options) sends a segment.
    now : callable
        Returns the time in cycles.
    on_event : callable, optional
        Called with (connection, what); what is "established", "data", "fin", "time_wait", "closed", "reset",
        "reset_half_open", "refused", "timeout", "abort", "rto" or "syn".
    """

    def __init__(self, config, local, remote, iss, emit, now, *, on_event=None):
        self.config, self.local, self.remote = config, local, remote
        self._emit, self._now = emit, now
        self.on_event = on_event or (lambda connection, what: None)
        self.state = State.CLOSED
        self.history = []
        self.iss, self.irs = iss, 0
        self.outgoing = bytearray()
        self.queue = ReassemblyQueue()
        self.snd_una = self.nxt = self.max = 0      # offsets
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
        self.sacked = []                        # [left, right] offsets beyond snd_una, ascending
        self.again = 0                          # offset after what was sent more than once
        self.retransmitted = 0                         # holes below this offset were retransmitted in this recovery
        self.timer = RetransmissionTimer(config.rto_initial, config.rto_min, config.rto_max)
        self._timed = None                      # (offset, time) of the segment being measured
        self._retries = 0
        self._linger = None                     # end of TIME-WAIT
        self.counters = dict.fromkeys(("sent", "received", "retransmitted", "fast_retransmits", "timeouts",
                                       "challenge_acks", "acks_of_unsent", "probes", "paws", "unstamped", "paused"), 0)
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
        """Whether both directions ended cleanly: our FIN is acknowledged and the peer's was taken."""
        return (self.fin_taken and self.state in (State.TIME_WAIT, State.CLOSED)
                and not self.was("reset") and not self.was("timeout"))

    def was(self, what):
        """Return how often `what` is in the history."""
        return sum(1 for _, entry in self.history if entry == what)

    def open(self):
        """Send a SYN."""
        self.state = State.SYN_SENT
        self._note("syn")
        self.output()

    def accept(self, segment):
        """Answer a SYN of a peer."""
        self.state = State.SYN_RECEIVED
        self._take_syn(segment)
        self.output()

    def write(self, data):
        """Send data. Raises ValueError after close()."""
        if self.closing:
            raise ValueError("write after close")
        self.outgoing += data
        self.output()

    def close(self):
        """Send no more data; the FIN follows the last byte."""
        if not self.closing:
            self.closing = True
            self.output()

    def abort(self):
        """Send RST and end."""
        if self.state in SYNCHRONIZED or self.state is State.SYN_RECEIVED:
            self._segment(self.nxt, RST | ACK)
        self._end("abort")

    def read(self):
        """Take what is in the buffer and announce the window; for `reading` = False."""
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
        self.snd_una, self.nxt = max(self.snd_una, 1), max(self.nxt, 1)
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
        ack = unwrap(segment.ack, self.iss, self.snd_una) if segment.flags & ACK else None
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
        """Process the ACK field (RFC 9293 §3.10.7.4, fifth step); return False to stop processing."""
        ack = unwrap(segment.ack, self.iss, self.snd_una)
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
        if ack > self.snd_una:
            self._acknowledged(ack)
        elif self.sack and self.recover is None:
            pass                                # only blocks tell of a loss
        elif ack == self.snd_una and pure and window == self.wnd and self.max > self.snd_una:
            self._duplicate_ack()
        if ack >= self.snd_una and (offset, ack) >= (self.wl1, self.wl2):
            reopened = self.wnd == 0 and window > 0
            self.wnd, self.wl1, self.wl2 = window, offset, ack
            self.max_wnd = max(self.max_wnd, window)
            if reopened and self.snd_una == self.max:
                self.timer.stop()
                self.timer.progress()
                self._retries = 0
        self._take_sack(segment, ack)
        return True

    def _watch(self, ack, window, offset):
        """Note when ACK or right edge go back, among segments that are not older than one seen before.

        A window may close when we have sent again what is not acknowledged; whether it may then, the monitor judges.
        """
        if self._peer_edge and (offset, ack) >= (self.wl1, self.wl2):
            if ack + window < self._peer_edge and window == 0 and self.again > ack:
                self.counters["paused"] += 1
            elif ack + window < self._peer_edge:
                self.edge_regressions.append((self._now(), self._peer_edge, ack + window))
        self._peer_edge = max(self._peer_edge or 0, ack + window)

    def _fin_acknowledged(self):
        if self.state is State.FIN_WAIT_1:
            self.state = State.FIN_WAIT_2
        elif self.state is State.CLOSING:
            self._time_wait()
        elif self.state is State.LAST_ACK:
            self._end("closed")

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
