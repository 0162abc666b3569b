"""Captures in pcapng, one file per link, with times from simulated cycles and comments at kill and takeover."""
import struct
from fractions import Fraction
from pathlib import Path

from scapy.utils import RawPcapNgWriter

from ..backend.interface import FrameKind
from .wire import CapturedFrame

__all__ = ["NS_PER_CYCLE", "LINKS", "to_frame", "CaptureSet"]

NS_PER_CYCLE = 10       # as if the pair ran at 100 MHz
LINKS = ("client", "server", "sync")
ETHERNET = 1


def to_frame(raw, ns_per_cycle=NS_PER_CYCLE):
    """Return the wire.CapturedFrame of a backend.RawFrame; None for ports that are no client, server or sync link."""
    if raw.kind in (FrameKind.SYNC0, FrameKind.SYNC1):
        return CapturedFrame(raw.cycle * ns_per_cycle, "sync", raw.unit, raw.data)
    if raw.side > 1:
        return None
    return CapturedFrame(raw.cycle * ns_per_cycle, LINKS[raw.side], raw.unit, raw.data)


class _NanosecondWriter(RawPcapNgWriter):
    """scapy's writer, with the resolution in the interface block and no interface but the named ones."""

    linktype, sync = ETHERNET, False

    def __init__(self, path):
        super().__init__(str(path))
        self.tsresol = 10**9
        self.interfaces2id = {None: -1}
        self._write_block_shb()
        self.header_present = True

    def _write_block_idb(self, linktype, ifname=None):
        name = ifname or b""
        options = struct.pack("<HH", 2, len(name)) + self._add_padding(name)
        options += struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)       # if_tsresol: 10^-9 s
        self.f.write(self.build_block(struct.pack("<I", 1), struct.pack("<HHI", linktype, 0, 262144), options=options))


class CaptureSet:
    """client.pcapng, server.pcapng and sync.pcapng in a folder; the interface of a packet names its sender.

    Frames may be added in any order of links; the files are written by close(), in order of time.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._frames = {link: [] for link in LINKS}
        self._comments = []         # (time, text)

    def add(self, frame):
        """Take a wire.CapturedFrame."""
        self._frames[frame.link].append(frame)

    def comment(self, time, text):
        """Attach `text` to the first packet of each file that is not earlier than `time` (ns), else to the last."""
        self._comments.append((time, text))

    def close(self, kill_time=None, takeover_time=None):
        """Write the files; times in ns, None where there was no kill or takeover. Returns link -> path."""
        for time, text in ((kill_time, "the active unit is killed here"),
                           (takeover_time, "the standby takes over here")):
            if time is not None:
                self.comment(time, f"{text} ({time} ns, cycle {time // NS_PER_CYCLE})")
        self.folder.mkdir(parents=True, exist_ok=True)
        return {link: self._write(link, sorted(frames, key=lambda f: f.time)) for link, frames in self._frames.items()}

    def _write(self, link, frames):
        path = self.folder / f"{link}.pcapng"
        notes = {}
        for time, text in sorted(self._comments):
            at = next((i for i, f in enumerate(frames) if f.time >= time), len(frames) - 1)
            notes.setdefault(at, []).append(text)
        writer = _NanosecondWriter(path)
        for i, frame in enumerate(frames):
            sender = f"unit {frame.unit}" if frame.unit is not None else f"{frame.link} network"
            seconds = Fraction(frame.time, 10**9)       # exact, where scapy expects a float
            writer._write_packet(frame.data, ETHERNET, sec=seconds, ifname=sender.encode(),     # pyright: ignore[reportArgumentType]
                                 direction=2 if frame.unit is not None else 1, comments=notes.get(i))
        writer.close()
        return path
