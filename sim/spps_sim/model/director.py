"""Model of what surrounds and constrains the director: flowstate memory, cores, and rules 1 to 6.

A flowstate is the list of the events it has seen. A LOAD copies it into the workspace, processing an event appends to
it there, a WRITE_BACK copies it back. Whatever breaks rules 1 to 3 leaves a list that is not the order of arrival. An
event that traps takes with it what its workspace had seen since the last write-back. Source: patent §III.D–H, §VIII.
"""
from collections import Counter, deque
from dataclasses import dataclass, field

__all__ = ["DirectorModel", "Space"]


@dataclass
class Space:
    """A workspace with a flow in it."""

    conn: int
    tags: list = field(default_factory=list)
    events: int = 1
    loaded: bool = False
    made: bool = False          # by a CLEAR, for a new connection
    closing: bool = False
    void: bool = False          # an event has trapped
    new: bool = False           # a new connection, no event of which has ended well
    resident: bool = False      # no events, not busy; tags are what flowstate memory has


class DirectorModel:
    """Rules 1 to 6, checked step by step.

    Steps are arrive, deliver, load, process, finish and write_back, each in the order seen at the director. A broken
    rule raises AssertionError with its number.
    """

    def __init__(self, cores, workspaces, event_slots):
        self.workspaces, self.event_slots = workspaces, event_slots
        self.memory = {}                                    # conn -> [tags]
        self.at = {}                                        # conn -> (core, workspace), where it is busy
        self.space = {}                                     # (core, workspace) -> Space
        self.queue = [deque() for _ in range(cores)]        # (conn, workspace, tag) not yet processed
        self.arrived = {}                                   # conn -> tags in the order taken, since it was new
        self.lost = set()                                   # tags
        self.marked = set()                                 # conns that start again
        self.waiting = deque()                              # taken, not yet delivered
        self.count = Counter()

    def arrive(self, conn, tag):
        """Take an event. conn None: it has no flow."""
        self.waiting.append((conn, tag))
        if conn is not None:
            self.arrived.setdefault(conn, []).append(tag)

    def deliver(self, conn, tag, core, workspace, load, *, new=False, restart=False):
        """Deliver the oldest event to a workspace. load: a LOAD comes first. restart: its flow lost events."""
        assert self.waiting.popleft() == (conn, tag), "delivered out of order"
        assert len(self.queue[core]) < self.event_slots, f"rule 5: core {core} has no slot"
        self.queue[core].append((conn, workspace, tag))
        place = core, workspace
        if conn is None:
            assert (workspace, load, restart) == (0, 0, 0)
            return
        space = self.space.get(place)
        if load:
            assert conn not in self.at, f"rule 1: flow {conn} is at {self.at[conn]}"
            assert space is None or space.resident, f"workspace {workspace} of core {core} is taken"
            assert restart == (not new and conn in self.marked), (
                "rule 6: a flow that lost events starts again, and only such a flow")
            self.forget(conn)
            self.marked.discard(conn)
            self.space[place] = Space(conn, new=new, made=new)
            if new:
                self.arrived[conn] = [tag]
        else:
            assert not restart and space is not None and space.conn == conn, f"flow {conn} is not at {place}"
            assert self.at.get(conn, place) == place, f"rule 1: flow {conn} is at {self.at[conn]}"
            if space.resident:
                assert not new, "a new connection does not begin with an old flowstate"
                assert space.tags == self.memory[conn], "rule 3: the copy is not what flowstate memory has"
                assert conn not in self.marked
                space.resident, space.void, space.new = False, False, False
                self.count["resumed"] += 1
            else:
                assert space.events > 0, "joined a workspace that is written back"
                space.new |= new
            space.events += 1
        self.at[conn] = place

    def forget(self, conn=None, cores=None):
        """No copy of `conn` (all) stays resident (at `cores`)."""
        for place in [p for p, s in self.space.items()
                      if s.resident and conn in (None, s.conn) and (cores is None or p[0] in cores)]:
            del self.space[place]

    def load(self, conn, core, workspace):
        """The DMA reads flowstate memory."""
        space = self.space[core, workspace]
        assert space.conn == conn and not space.loaded and not space.made, "a LOAD nobody needs"
        space.tags, space.loaded = list(self.memory.get(conn, [])), True

    def clear(self, conn, core, workspace):
        """The DMA makes a new flowstate."""
        space = self.space[core, workspace]
        assert space.conn == conn and not space.loaded and space.made, "a CLEAR nobody needs"
        self.memory[conn], space.loaded = [], True

    def process(self, core, close, trap):
        """End the oldest event of a core; return (conn, workspace, tag, trap), trap also if one before has trapped."""
        conn, workspace, tag = self.queue[core].popleft()
        if conn is not None:
            space = self.space[core, workspace]
            assert space.loaded, "processed before the workspace was loaded"
            trap = space.void = trap or space.void
            if trap:
                self.lost.add(tag)
            else:
                space.tags.append(tag)
                space.closing |= close
        return conn, workspace, tag, trap

    def finish(self, core, workspace, trap):
        """Take the Done of a flow.

        Returns None while events are left, else what follows ("write_back", "void" or "purge") and whether the
        connection ends.
        """
        space = self.space[core, workspace]
        space.events -= 1
        space.new &= trap
        if space.events:
            return None
        if not space.void:
            return "write_back", space.closing
        self.lost |= set(space.tags) - set(self.memory.get(space.conn, []))
        del self.space[core, workspace], self.at[space.conn]
        if space.closing:
            return "void", True
        if space.new:
            return "purge", False
        self.marked.add(space.conn)
        return "void", False

    def write_back(self, conn, core, workspace, *, keep=True):
        """The DMA has written flowstate memory. keep: a copy may stay."""
        space = self.space[core, workspace]
        assert space.conn == conn and space.events == 0, "written back with events left"
        del self.at[conn]
        self.memory[conn] = list(space.tags)
        space.resident = True
        if space.closing or not keep:
            del self.space[core, workspace]

    def check_end(self):
        """Assert that nothing is left, and that every flow saw its events in order."""
        assert not self.waiting and not self.at and not any(self.queue)
        assert all(space.resident for space in self.space.values())
        for conn, tags in self.arrived.items():
            assert self.memory.get(conn, []) == [t for t in tags if t not in self.lost], (
                "rule 2 or 3: a flow did not see its events in order")
