"""Linux sockets at both ends of the pair in RTL, in one process, with control over the links between them.

The sockets are in the namespaces of a `network.testbed.Testbed`. The test moves the testbed itself, so it decides what
happens when. A rule may drop, change or duplicate every frame, segments may be forged in the name of either Linux, and
the monitor gets everything.
"""
import os
import random
import select
import socket
import struct
import time
from contextlib import contextmanager
from typing import NamedTuple

from spps.params import TINY
from spps.ucode.programs import default_image
from spps_sim.backend.simulation import Simulation
from spps_sim.checker.capture import NS_PER_CYCLE
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import ACK, SYN, CapturedFrame, Segment, parse_segment
from spps_sim.network.testbed import Addresses, Testbed, ip_number
from spps_sim.peers.frames import tcp_frame, timestamp_option
from tests.linux.linux_frames import patched

__all__ = ["Env", "Passed", "CLIENT", "SERVER", "PORT", "ECHO"]

CLIENT, SERVER = 0, 1
PORT, ECHO = 5001, 7
_VIPS = tuple(ip_number(text) for text in Addresses.vip)


class Passed(NamedTuple):
    """A segment on a link: where the pair got it or let it go."""
    cycle: int
    port: int
    from_pair: bool
    segment: Segment


class _LinkRules:
    """In place of `network.links.FaultyLink`, between devices and pair: rules say what arrives of each TCP segment.

    clocks: TSval with which Linux begins on either link, as the pair and the rules see it. Linux's own depends on when
    and as what the machine was started.
    """

    def __init__(self, clocks):
        self.rules = []
        self.clocks, self.ahead = clocks, [None, None]

    def carry(self, data):
        segment = parse_segment(data)
        if segment is None:
            return [(0, data)]
        from_pair = segment.src[0] in _VIPS
        port = _VIPS.index((segment.src if from_pair else segment.dst)[0])
        if from_pair:
            return [(late, self.clocked(port, True, frame)) for late, frame in self.judged(port, True, segment, data)]
        data = self.clocked(port, False, data)
        return self.judged(port, False, parse_segment(data), data)

    def judged(self, port, from_pair, segment, data):
        for rule in list(self.rules):
            arriving = rule(port, from_pair, segment, data)
            if arriving is not None:
                return arriving
        return [(0, data)]

    def clocked(self, port, from_pair, data):
        """The frame with the number of Linux's clock in its timestamp as the other side counts."""
        segment = parse_segment(data)
        stamp = segment.options.get(8)
        if stamp is None or from_pair and not segment.flags & ACK:
            return data
        numbers = list(struct.unpack("!II", stamp))
        if self.ahead[port] is None:
            self.ahead[port] = self.clocks[port] - numbers[0]
        numbers[from_pair] = (numbers[from_pair] + (-self.ahead[port] if from_pair else self.ahead[port])) & 0xFFFFFFFF
        return patched(data, stamp, struct.pack("!II", *numbers))


class Env:
    """A testbed and its sockets.

    A context manager: at its end every connection is closed, and the monitor must explain every frame.
    mode, params: of the pair. defines: of the program, where it is not the one the pair is built with. clocks: of
    _LinkRules. registers: configured before the first frame. segments: [Passed] since `mark()`.
    """

    def __init__(self, mode="proxy", defines=(), clocks=(0x7FFFF000, 0x90000000), params=TINY, **registers):
        self.image = default_image(defines, params.imem_words) if defines else None
        self.testbed = Testbed(Simulation.of(params), params, mode=mode, on_frame=self._frame)
        self.registers = registers
        self.frames, self.segments, self.last = [], [], {}
        self.forged = set()
        self.isns, self.current = {}, set()     # {ends: ISN of the last SYN}, ends of this test's connections
        self.sockets = []
        self.mode, self.wire = mode, _LinkRules(clocks)

    def __enter__(self):
        self.testbed.__enter__()
        self.testbed.link = self.wire
        for unit in (0, 1) if self.image else ():
            self.testbed.sim.load_image(unit, self.image)
        self.testbed.sim.configure(self.registers)
        self.tick_cycles = self.testbed.sim.read(0, "tick_cycles")
        self.random = random.Random(f"peers/{self.mode}")
        return self

    def __exit__(self, kind, *details):
        try:
            if kind is None:
                self.clear()
                self.run(0.3)
                report = check(self.frames)
                assert report.ok, [str(violation) for violation in report.violations[:10]]
                assert report.checks, "the monitor saw nothing"
        finally:
            self.clear()
            self.testbed.__exit__(kind, *details)

    # wires ---------------------------------------------------------------------------------
    def _frame(self, link, unit, cycle, data):
        if unit is None and data in self.forged:
            return
        self.frames.append(CapturedFrame(cycle * NS_PER_CYCLE, link, unit, data))
        segment = parse_segment(data) if link != "sync" else None
        if segment is not None and self._of_this_test(segment):
            port = Addresses.links.index(link)
            self.segments.append(Passed(cycle, port, unit is not None, segment))
            self.last[port, unit is not None] = data

    def _of_this_test(self, segment):
        """What a connection of an earlier test still has to say is for the monitor only."""
        ends = frozenset((segment.src, segment.dst))
        if segment.flags & (SYN | ACK) == SYN and self.isns.get(ends) != segment.seq:
            self.isns[ends] = segment.seq
            self.current.add(ends)
        return ends in self.current

    def begin(self):
        """A new test: only connections whose first SYN is still to come are seen from here on."""
        self.current.clear()
        self.segments.clear()

    def mark(self):
        """Forget the segments so far."""
        self.segments.clear()

    def passed(self, port, from_pair, wanted=lambda segment: True):
        """[Passed] since the mark of one link and direction."""
        return [p for p in self.segments if (p.port, p.from_pair) == (port, from_pair) and wanted(p.segment)]

    def rule(self, act):
        """Add act(port, from pair, Segment, frame) -> [(cycles late, frame)], None for "not mine".

        It stays until lift() or clear().
        """
        self.wire.rules.append(act)
        return act

    def once(self, port, from_pair, wanted, act=lambda data: []):
        """Replace the first segment that `wanted` accepts by act(frame) or nothing; the list returned gets it."""
        met = []

        def rule(at, ours, segment, data):
            if not met and (at, ours) == (port, from_pair) and wanted(segment):
                met.append(segment)
                return act(data)
        self.rule(rule)
        return met

    def cut(self, port, from_pair, wanted=lambda segment: True):
        """Lose every such segment; returns the rule."""
        return self.rule(
            lambda at, ours, segment, data: [] if (at, ours) == (port, from_pair) and wanted(segment) else None)

    def lift(self, rule):
        self.wire.rules.remove(rule)

    def forge(self, port, *, flags=ACK, seq=0, ack=0, payload=b"", tsval=0, like=None, honest=False):
        """Give the pair a segment in the name of Linux.

        seq, ack, tsval: distances from its last segment `like` (default: of this port).
        Neither `segments` nor the monitor see it, unless it is honest: what the pair did because of it would be
        inexplicable.
        """
        data = like or self.last[port, False]
        last = parse_segment(data)
        options = b""
        if 8 in last.options:
            value, echo = struct.unpack("!II", last.options[8])
            options = timestamp_option(value + tsval, echo)
        frame = tcp_frame(data[:6], data[6:12], last.src, last.dst, flags=flags, window=last.window, payload=payload,
                          seq=last.seq + last.length + seq, ack=last.ack + ack, options=options)
        if not honest:
            self.forged.add(frame)
        self.current.add(frozenset((last.src, last.dst)))
        self.testbed.sim.push_frame(port, frame)

    # time ----------------------------------------------------------------------------------
    def run(self, seconds, each=lambda: None):
        """Move the testbed until so much time has passed for Linux and for the pair; call each() in every turn.

        On a busy machine the pair is slower than Linux.
        """
        end, cycle = time.monotonic() + seconds, self.testbed.sim.cycle + self.ticks(round(seconds * 1000))
        while time.monotonic() < end or self.testbed.sim.cycle < cycle:
            self.testbed.turn()
            each()

    def settle(self, quiet=0.25, limit=20):
        """Move the testbed until no segment has passed for `quiet` seconds."""
        for _ in range(limit):
            count = len(self.segments)
            self.run(quiet)
            if len(self.segments) == count:
                break

    def until(self, done, what, limit=40):
        """Move the testbed until done() is true and return that; fails after `limit` seconds."""
        end = time.monotonic() + limit
        while not (result := done()):
            assert time.monotonic() < end, f"{what}: not within {limit} s"
            self.testbed.turn()
        return result

    # sockets -------------------------------------------------------------------------------
    def socket(self, side, *options):
        """A non-blocking TCP socket in a namespace, or that of a side; options: arguments of setsockopt."""
        namespace = self.testbed.namespaces[side] if isinstance(side, int) else side
        made = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option in options:
            made.setsockopt(*option)
        self.sockets.append(made)
        return made

    def listen(self, *options, port=PORT):
        listener = self.socket(SERVER, *options)
        listener.bind((Addresses.server, port))
        listener.listen(8)
        return listener

    def dial(self, made, side=CLIENT, port=PORT, limit=40):
        """Connect; raises what the kernel says."""
        made.connect_ex((Addresses.vip[side], port))
        self.opened(made, limit)

    def opened(self, made, limit=40):
        """Wait for a connection that was begun; raises what the kernel says."""
        self.until(lambda: select.select([], [made], [made], 0)[1:] != ([], []), "connect", limit)
        error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def accept(self, listener):
        self.until(lambda: select.select([listener], [], [], 0)[0], "accept")
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        self.sockets.append(accepted)
        return accepted

    def connected(self, client=(), server=()):
        """(client socket, server socket) of a new proxied connection."""
        listener = self.listen(*server)
        made = self.socket(CLIENT, *client)
        self.dial(made)
        accepted = self.accept(listener)
        listener.close()
        return made, accepted

    def echo(self, side=CLIENT, options=()):
        """A connection to the pair's own echo."""
        made = self.socket(side, *options)
        self.dial(made, side, ECHO)
        return made

    @contextmanager
    def sysctl(self, side, name, value):
        """net.ipv4.<name> of a namespace for a while."""
        before = self.testbed.namespaces[side].sysctl(name)
        self.testbed.namespaces[side].sysctl(name, value)
        try:
            yield
        finally:
            self.testbed.namespaces[side].sysctl(name, before)

    # bytes ---------------------------------------------------------------------------------
    def bytes(self, size):
        return self.random.randbytes(size)

    @staticmethod
    def push(made, data):
        """Send what the socket takes now; returns how much."""
        try:
            return made.send(data)
        except BlockingIOError:
            return 0

    @staticmethod
    def pull(made, size=1 << 20):
        """What has arrived; None at the end of the stream."""
        try:
            return made.recv(size) or None
        except BlockingIOError:
            return b""

    def pushing(self, source, data):
        """A function that sends on as much of data as fits."""
        left = memoryview(data)

        def push():
            nonlocal left
            if left:
                left = left[self.push(source, left):]
        return push

    def pulling(self, sink, data):
        """A function that reads on and is true once `data` is there; fails when anything else is."""
        got = bytearray()

        def pull():
            if len(got) < len(data):
                chunk = self.pull(sink)
                assert chunk is not None, f"the stream ended after {len(got)} of {len(data)} bytes"
                got.extend(chunk)
                assert data.startswith(got), "the bytes that arrived are others"
            return len(got) == len(data)
        return pull

    def arrived(self, sink, data, each=lambda: None):
        """Read `data`; each() in every turn."""
        pull = self.pulling(sink, data)
        self.until(lambda: each() or pull(), f"{len(data)} bytes", 60)

    def moved(self, source, sink, data):
        """Send data and read it at the other end."""
        self.arrived(sink, data, self.pushing(source, data))

    def error_of(self, made):
        """The error that reading ends with."""
        def read():
            try:
                made.recv(1)
            except BlockingIOError:
                return None
            except OSError as error:
                return error.errno
        return self.until(read, "an error")

    def ended(self, made):
        """Wait for the end of the stream; fails when bytes come first."""
        def end():
            chunk = self.pull(made)
            assert not chunk, f"{len(chunk)} bytes instead of the end"
            return chunk is None
        self.until(end, "end of stream")

    def ticks(self, count):
        """Cycles of so many timer ticks."""
        return count * self.tick_cycles

    def clear(self):
        """No rules, and every socket closed."""
        self.wire.rules.clear()
        for made in self.sockets:
            made.close()
        self.sockets.clear()
