"""One connection around a kill, as rows of a sequence diagram: data, commit, sync, confirm, ACK, death, takeover.

Works on lists of wire.CapturedFrame only, like the monitor.
"""
from dataclasses import dataclass

from ..checker.wire import ACK, CONFIRM, FIN, RST, STATE, SYN, parse_segment, parse_sync

__all__ = ["Arrow", "sequence", "LANES"]

LANES = ("client", "unit 0", "unit 1", "server")


@dataclass
class Arrow:
    """A row of the diagram: from lane to lane (numbers into LANES), or a mark across all lanes (source None)."""

    time: int
    source: object
    target: object
    label: str
    kind: str       # data, ack, control, sync, confirm, death, takeover


def _flags(segment):
    return "".join(name for bit, name in ((SYN, "SYN "), (FIN, "FIN "), (RST, "RST ")) if segment.flags & bit)


def _tuple_of(frame, segment):
    peer, pair = (segment.dst, segment.src) if frame.unit is not None else (segment.src, segment.dst)
    return frame.link, peer, pair


def _connections(frames):
    """Return {connection: its two leg tuples} from full records; the newest binding wins."""
    found = {}
    for frame in frames:
        if frame.link != "sync":
            continue
        sync = parse_sync(frame.data)
        if sync and sync.type == STATE and 2 in sync.lines and 8 in sync.lines:
            found[sync.conn] = tuple(
                ("client" if line[0] >> 16 & 0xFF == 0 else "server",
                 (line[3], line[4] >> 16), (line[2], line[4] & 0xFFFF))
                for line in (sync.lines[2], sync.lines[8]))
    return found


def sequence(frames, kill_time, takeover_time, conn=None, *, before=14, after=18):
    """Return the last `before` and first `after` Arrows of a connection around the kill; default: the busiest."""
    connections = _connections(frames)
    if not connections:
        return []
    rows = {conn: [] for conn in connections}
    by_leg = {leg: conn for conn, legs in connections.items() for leg in legs}
    isn = {}
    records = {}
    for frame in frames:
        if frame.link == "sync":
            sync = parse_sync(frame.data)
            if sync and sync.type == STATE and sync.conn in rows:
                kind = {0: "commit record", 1: "full record", 2: "retire record"}.get(sync.kind, "record")
                label = f"sync: {kind} {sync.number}"
                rows[sync.conn].append(Arrow(frame.time, 1 + frame.unit, 2 - frame.unit, label, "sync"))
                records[(frame.unit, sync.number)] = sync.conn
            elif sync and sync.type == CONFIRM:
                for (unit, number), conn in list(records.items()):
                    if unit != frame.unit and number <= sync.number:
                        label = f"confirm {sync.number}"
                        rows[conn].append(Arrow(frame.time, 1 + frame.unit, 2 - frame.unit, label, "confirm"))
                        del records[(unit, number)]
            continue
        segment = parse_segment(frame.data)
        if segment is None:
            continue
        leg = _tuple_of(frame, segment)
        conn = by_leg.get(leg)
        if conn is None:
            continue
        ours = frame.unit is not None
        if segment.flags & SYN:
            isn[(leg, ours)] = segment.seq
        seq = (segment.seq - isn.get((leg, ours), segment.seq)) & 0xFFFFFFFF
        ack = (segment.ack - isn.get((leg, not ours), segment.ack)) & 0xFFFFFFFF
        lane = 0 if frame.link == "client" else 3
        label = _flags(segment) + (f"data {seq}..{seq + len(segment.payload)} " if segment.payload else "")
        label += f"ACK {ack}" if segment.flags & ACK else ""
        kind = "data" if segment.payload else "control" if segment.flags & (SYN | FIN | RST) else "ack"
        unit = frame.unit if ours else (0 if takeover_time is None or frame.time < takeover_time else 1)
        source, target = (1 + unit, lane) if ours else (lane, 1 + unit)
        rows[conn].append(Arrow(frame.time, source, target, label.strip(), kind))

    def interest(conn):
        return sum(1 for r in rows[conn] if abs(r.time - kill_time) < 2_000_000)

    best = conn if conn in rows else max(rows, key=interest)
    early = [r for r in rows[best] if r.time < kill_time][-before:]
    late = [r for r in rows[best] if r.time >= kill_time][:after]
    marks = [Arrow(kill_time, None, None, "the active dies", "death")]
    if takeover_time is not None:
        marks.append(Arrow(takeover_time, None, None, "the standby takes over", "takeover"))
    return sorted(early + late + marks, key=lambda r: r.time)
