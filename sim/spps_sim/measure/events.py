"""Clocks a protocol core spends on an event; part of `spps bench`.

The real program runs in the instruction-set simulator, in the functional pair, on a protected upload in full segments
with the sync link up. Clocks are not simulated but added up from the executed instructions (`model.core_clocks`).

Figures:
data_segment   a full segment, copied and sent on
pure_ack       its ACK: record to the standby, ACK to the other peer
proxied_mss_protected   both: all a core does per full segment of a protected connection
backlog_mss_protected   the same while data always waits: the destination's window is smaller than the unit's
Timestamps (RFC 7323) are on, as between Linux peers; NAME_without_timestamps is the same without them.
"""
from spps.layouts.event import EventKind

from ..model.core_clocks import clocks
from ..model.tcp_scenarios import Transfer

__all__ = ["figures", "measure"]

NARROW = 4000       # window of a destination that is slower than its source, bytes


def measure(segments=200, defines=(), *, timestamps=True):
    """Return mean clocks of the events of two uploads, and of a segment, by the names of the figures."""
    means = _means(segments, defines, timestamps)
    waiting = _means(segments, defines, timestamps, config={"window": 4 * NARROW}, window=NARROW)
    return {**means, "proxied_mss_protected": round(sum(means.values()), 1),
            "backlog_mss_protected": round(sum(waiting.values()), 1)}


def _means(segments, defines, timestamps, config=None, **server):
    """Mean clocks of full segments and of pure ACKs. server: overrides of its TcpConfig."""
    mss = 1448 if timestamps else 1460
    peer = {"timestamps": timestamps}
    transfer = Transfer(up=segments * mss, down=0, defines=defines, config=config, client=peer, server=peer | server)
    unit, seen = transfer.pair.units[0], {"data_segment": [], "pure_ack": []}
    for core in unit.cores:
        def traced(words, workspace, run=core.run_event):
            result = run(words, workspace, trace=True)
            length, synchronized = words[8] & 0xFFFF, not words[7] >> 16 & 7
            if words[0] & 0xFF == EventKind.TCP.value and synchronized:
                if length == mss:
                    seen["data_segment"].append(clocks(result.trace))
                elif not length and words[1] >> 16 & 1:
                    seen["pure_ack"].append(clocks(result.trace))
            return result
        core.run_event = traced     # pyright: ignore[reportAttributeAccessIssue]
    transfer.run().check()
    return {name: round(sum(values) / len(values), 1) for name, values in seen.items()}


def figures():
    """Return the means of an upload with timestamps and, as NAME_without_timestamps, of one without."""
    plain = measure(timestamps=False)
    return measure() | {f"{name}_without_timestamps": value for name, value in plain.items()}
