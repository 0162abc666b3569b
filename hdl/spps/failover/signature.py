"""Configuration and status of failover: a table each, from which signatures and the registers of the host are made."""
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import Out

from ..lib.item import Item

__all__ = ["CONFIG", "KEYS", "STATUS", "JoinVerdict", "Policy", "SwitchState", "SwitchVerdict", "FailoverConfig",
           "FailoverStatus"]


class Policy(enum.IntEnum, shape=2):
    """What an active without a standby does."""

    STALL = 0       # emits nothing
    ARBITER = 1     # goes on once `grant` is set
    CONTINUE = 2    # goes on when a standby that lives would have taken over


class JoinVerdict(enum.IntEnum, shape=2):
    """What became of the last JOIN."""

    NONE = 0        # none came since this unit became the active
    TAKEN = 1
    SIZE = 2        # refused: the standby holds another number of connections
    CONFIG = 3      # refused: its configuration is another one


class SwitchState(enum.IntEnum, shape=3):
    """How far a planned switch-over is, in the unit that was the active before it."""

    IDLE = 0
    DRAIN = 1       # sources are stopped, what is held leaves
    HOLD = 2        # frames from outside wait, the unit runs empty
    MUTE = 3        # nothing is emitted any more, the last frame leaves
    YIELDED = 4     # HANDOVER has been sent, the epoch of the other unit is not heard yet


class SwitchVerdict(enum.IntEnum, shape=3):
    """What became of the last request to switch over."""

    NONE = 0        # none came, or it is under way
    DONE = 1
    REFUSED = 2     # connections were not protected, or this unit was not the active
    UNSENT = 3      # given up: bytes waited that had never been sent
    BROKEN = 4      # given up: the standby or the lease was lost
    BUSY = 5        # given up: the unit did not run empty
    UNANSWERED = 6  # the other unit did not take HANDOVER

#: in the order of the registers
CONFIG = (
    Item("role_init", 1, "1 active, 0 standby; taken after reset and by role_load"),
    Item("role_load", 1, "write 1: take role_init now; lifts a fence", pulse=True),
    Item("unit", 1, "number of this unit: its station address on the sync link ends in 1 for 0, in 2 for 1; "
                    "the pin says the same"),
    Item("hb_interval", 32, "clocks between heartbeats; 0: none", 2000),
    Item("lease", 32, "clocks that the active may emit after the send time of an echoed heartbeat", 8000),
    Item("takeover_after", 32, "clocks without a heartbeat after which the standby takes over; more than lease; "
                               "0: never by itself", 12000),
    Item("policy", 2, "without a standby: 0 stall, 1 go on unprotected once `grant` is set, 2 go on unprotected after "
                      "1.5 times takeover_after, by when a standby that lives has taken over", 2),
    Item("grant", 1, "1: the standby is declared gone"),
    Item("egress_disable", 1, "1: emit nothing"),
    Item("detector", 1, "1: the other unit is declared dead, take over now"),
    Item("retransmit_after", 32, "clocks without a confirmation before sync records are sent again; 0: never", 2000),
    Item("isn_divider", 16, "clocks per step of the ISN clock, less one", 399),
    Item("isn_margin", 32, "steps that the ISN clock jumps at takeover", 250000),
    Item("tick_margin", 32, "ticks that the tick counter jumps at takeover; more than a heartbeat takes to arrive", 2),
    Item("auto_join", 1, "1: a fenced unit becomes the standby, and a standby that is no member asks to join; "
                         "0: only when told by rejoin or role_load", 1),
    Item("rejoin", 1, "write 1: become the standby if fenced, forget all connections and ask to join", pulse=True),
    Item("resync_pace", 16, "clocks between the connections that a resynchronization visits", 500),
    Item("sync_session", 32, "least upper half of the serials of sync frames: larger after each reset than ever, "
                             "as the seconds of the wall clock are"),
    Item("sync_send", 1, "slot of the key for the tags of sync frames: 0 a, 1 b"),
    Item("sync_accept", 2, "bit 0: tags made with the key of slot a are accepted, bit 1: with that of slot b", 1),
    Item("switch", 1, "write 1 to the active: hand the active role over to the standby, see switch_verdict",
         pulse=True),
    Item("switch_patience", 32, "clocks that a switch-over waits at most until connections hold nothing that is not "
                                "acknowledged: some round trips and the time to send a window", 1_000_000),
    Item("switch_force", 1, "bytes that after switch_patience have never been sent: 0 give the switch-over up, 1 leave "
                            "them, their sources send them again"),
)
#: in the order of the registers; the host can write them only
KEYS = tuple(Item(f"sync_key_{slot}{word}", 32, f"bits {32 * word + 31}:{32 * word} of the key of slot {slot}")
             for slot in "ab" for word in range(4))
#: in the order of the registers
STATUS = (
    Item("active", 1, "1: this unit is the active one, 0: the standby"),
    Item("emit_enable", 1, "1: egress may emit"),
    Item("protect", 1, "1: new connections are protected"),
    Item("unprotected", 1, "1: no standby confirms records, outputs are not held"),
    Item("lease_valid", 1, "1: the standby has echoed a heartbeat less than a lease ago"),
    Item("fenced", 1, "1: the other unit has taken over from this one"),
    Item("peer_present", 1, "1: this unit is active and has a valid lease"),
    Item("sync_ready", 1, "1: the replay ring has a free slot for a record of every core"),
    Item("epoch", 16, "1 plus the takeovers of the pair; of two active units the one with the later epoch is right"),
    Item("issued", 32, "number of the last sync record"),
    Item("confirmed", 32, "number of the last sync record that the standby has confirmed"),
    Item("applied", 32, "number of the last sync record applied here"),
    Item("takeovers", 16, "takeovers by this unit since reset"),
    Item("takeover_cycle", 32, "`cycles` at the last takeover"),
    Item("cycles", 32, "clocks since reset, modulo 2^32"),
    Item("isn_clock", 32, "steps of the ISN clock, modulo 2^32"),
    Item("joined", 1, "active: a standby takes the records of this unit; standby: this unit takes those of the active"),
    Item("resync", 1, "1: a standby has joined that has not got the records of all connections yet"),
    Item("exposed", 16, "established connections that would be lost with the active: the standby has no record of "
                        "them; in the standby as the last heartbeat said"),
    Item("joins", 16, "standbys that joined since this unit became the active"),
    Item("join_verdict", 2, "last request to join: 0 none, 1 taken, 2 another number of connections, "
                            "3 another configuration"),
    Item("resync_clocks", 32, "clocks that the last resynchronization took"),
    Item("lost_in_resync", 32, "connections that takeovers by this unit have lost: `exposed` before each"),
    Item("sync_key", 2, "bit 0: slot a has a key, bit 1: slot b; 0: sync frames are not authenticated"),
    Item("switch_state", 3, "switch-over: 0 none, 1 sources are stopped, 2 frames from outside wait, 3 the last frame "
                            "leaves, 4 handed over and the other unit not heard yet"),
    Item("switch_verdict", 3, "last switch-over: 0 none or under way, 1 done, 2 refused: not protected; given up: "
                              "3 bytes never sent, 4 standby or lease lost, 5 not empty, 6 not taken by the other "
                              "unit"),
    Item("switch_clocks", 32, "clocks from the request to the hand-over of the last switch-over"),
    Item("switch_hold_clocks", 32, "of these, clocks in which frames from outside had to wait"),
)


class FailoverConfig(wiring.Signature):
    """Configuration of failover, driven by the host's registers.

    Members
    -------
    role_init, role_load, unit, grant, egress_disable, detector, auto_join, rejoin : Out(1)
        Switches.
    policy : Out(2)
        What the active does without a standby, see `Policy`.
    hb_interval, lease, takeover_after, retransmit_after : Out(32), clocks
        Times.
    isn_divider : Out(16), clocks less one
        Length of a step of the ISN clock.
    isn_margin : Out(32), steps of the ISN clock
        Added at takeover.
    tick_margin : Out(32), ticks
        Added at takeover.
    resync_pace : Out(16), clocks
        Between two connections of a resynchronization.
    sync_session : Out(32)
        Upper half of the serials of sync frames.
    sync_send : Out(1)
        Slot of the key for tags.
    sync_accept : Out(2)
        Slots whose tags are accepted.
    sync_key_a0, sync_key_a1, sync_key_a2, sync_key_a3 : Out(32)
        Key of slot a, low word first.
    sync_key_b0, sync_key_b1, sync_key_b2, sync_key_b3 : Out(32)
        Key of slot b.

    switch, switch_force : Out(1)
        Planned switch-over: begin; leave behind what was never sent.
    switch_patience : Out(32), clocks
        Most that a switch-over waits for what is held.

    What each does is in `CONFIG` and `KEYS`, of which the members and the registers are made.
    """

    def __init__(self):
        super().__init__({item.name: Out(item.width) for item in CONFIG + KEYS})


class FailoverStatus(wiring.Signature):
    """Status of failover, driven by `FailoverUnit`, read by the host and by other blocks.

    Members
    -------
    active, emit_enable, protect, unprotected, lease_valid, fenced, peer_present, sync_ready : Out(1)
        Flags.
    epoch : Out(16, init=1), takeovers
        Of the pair, plus 1.
    issued, confirmed, applied : Out(32), record numbers
        The last of each.
    takeovers : Out(16), takeovers
        Of this unit.
    takeover_cycle, cycles : Out(32), clocks
        The clock of the last takeover, and now.
    isn_clock : Out(32), steps
        The ISN clock.
    joined, resync : Out(1)
        A standby takes records; it has not got all of them yet.
    exposed, joins : Out(16)
        Connections at risk; standbys that have joined.
    join_verdict : Out(2)
        See `JoinVerdict`.
    resync_clocks, lost_in_resync : Out(32)
        Length of the last resynchronization; connections lost by takeovers.
    sync_key : Out(2)
        Slots that have a key.

    switch_state, switch_verdict : Out(3)
        See `SwitchState` and `SwitchVerdict`.
    switch_clocks, switch_hold_clocks : Out(32), clocks
        Length of the last switch-over.

    What each says is in `STATUS`, of which the members and the registers are made.
    """

    def __init__(self):
        super().__init__({item.name: Out(item.width, init=1) if item.name == "epoch" else Out(item.width)
                          for item in STATUS})
