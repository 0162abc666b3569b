"""Signatures between the parts of a cluster, each from the side of the part that asks, and what cores read as CSRs."""
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.config import ConfigWord
from ..layouts.message import BEAT
from ..ucode.isa import PC_BITS, WORD_BITS, memory_map

__all__ = [
    "BeatPort", "CoreMemoryPort", "CoreTrace", "CsrInputs", "CsrPort", "EventPort", "FetchPort", "SlotPort", "map_of",
    "slot_meta",
]


def map_of(params):
    """Return the `ucode.isa.MemoryMap` of a core: where workspaces, event slots and scratch words are."""
    return memory_map(params.workspaces, params.event_slots)


def slot_meta(params):
    """Return the layout of what the hardware knows of a queued event without reading it."""
    return data.StructLayout({
        "conn": 16, "leg": 1, "noflow": 1, "load": 1, "workspace": (params.workspaces - 1).bit_length(),
        "payload": 1, "ref": 16,    # it has payload, whose first scratchpad page is `ref`
    })


def _address_bits(params):
    return (map_of(params).size - 1).bit_length()


class CsrInputs(wiring.Signature):
    """What a cluster shows its cores as CSRs, from the side of the system.

    Members
    -------
    now : Out(32), ticks
        Tick counter.
    cycles : Out(32), clocks
        Cycle counter.
    isn_clock : Out(32)
        Clock of initial sequence numbers, a step per `isn_divider` clocks (4 µs).
    epoch : Out(32)
        Epoch of this unit.
    active : Out(1)
        This unit is the active one of its pair.
    sync_ready : Out(1)
        The sync port takes a record.
    fast_ready : Out(1)
        `sync_ready`, and every bit of `pool_status` whose pool exists is set.
    pool_status : Out(8)
        Bits `layouts.socket.PoolBit` + pool.
    protect : Out(1)
        Records go to a standby: new connections are protected.
    cfg : Out(ConfigWord)
        Words of `layouts.config.CONFIG`, one after the other, again and again.
    """

    def __init__(self):
        super().__init__({
            "now": Out(32), "cycles": Out(32), "isn_clock": Out(32), "epoch": Out(32), "active": Out(1),
            "sync_ready": Out(1),
            "fast_ready": Out(1), "pool_status": Out(8), "protect": Out(1), "cfg": Out(ConfigWord),
        })


class FetchPort(wiring.Signature):
    """Core -> instruction memory.

    Members
    -------
    address : Out(range(imem_words))
        Word asked for.
    fetch : Out(1)
        A fetch in this clock.
    word : In(36)
        The word, one clock after the fetch and until the next one.
    ready : In(1)
        The fetch is done; low in the clock of a live program write.
    """

    def __init__(self, params):
        super().__init__({
            "address": Out((params.imem_words - 1).bit_length()), "fetch": Out(1), "word": In(WORD_BITS),
            "ready": In(1),
        })


class EventPort(wiring.Signature):
    """Event slots -> core: the head of the queue.

    Members
    -------
    start : Out(1)
        The head may start.
    void : Out(1)
        With `start`: the event is answered as after a trap, not run.
    event : Out(slot_meta)
        The head.
    slot : Out(range(event_slots))
        Its slot.
    take : In(1)
        The core starts it.
    release : In(1)
        The event has ended; the slot is free.
    trap : In(1)
        With `release`: it ended by a trap.
    """

    def __init__(self, params):
        super().__init__({
            "start": Out(1), "void": Out(1), "event": Out(slot_meta(params)),
            "slot": Out((params.event_slots - 1).bit_length()),
            "take": In(1), "release": In(1), "trap": In(1),
        })


class SlotPort(wiring.Signature):
    """Cluster bus interface -> event slots of one core: filling the tail of the queue.

    Members
    -------
    meta : Out(slot_meta)
        Description of the event.
    commit : Out(1)
        The event in slot `tail` is complete.
    tail : In(range(event_slots))
        Slot to fill.
    full : In(1)
        There is none.
    """

    def __init__(self, params):
        super().__init__({
            "meta": Out(slot_meta(params)), "commit": Out(1), "tail": In((params.event_slots - 1).bit_length()),
            "full": In(1),
        })


class CoreMemoryPort(wiring.Signature):
    """Core -> its data memory. The core always comes first.

    Members
    -------
    address : Out(range(words))
        Word address.
    uses_read, uses_write : Out(1)
        The read or write port belongs to the core in this clock. Early signals: also high when the access is called
        off.
    read, write : Out(1)
        The access, with the `uses_` bit of its port.
    write_data : Out(32)
        Word to write.
    read_data : In(64)
        The pair of words that holds the one read, one clock later.
    """

    def __init__(self, params):
        super().__init__({
            "address": Out(_address_bits(params)), "uses_read": Out(1), "uses_write": Out(1), "read": Out(1),
            "write": Out(1),
            "write_data": Out(32), "read_data": In(BEAT),
        })


class BeatPort(wiring.Signature):
    """DMA -> data memory of one core, in the clocks that the core leaves.

    Members
    -------
    address : Out(range(words / 2))
        Beat address; the word with the lower address is in bits 31:0.
    read, write : Out(1)
        The access, held until `taken`.
    write_data : Out(64)
        Beat to write.
    taken : In(1)
        The access happens in this clock.
    read_data : In(64)
        The beat read, one clock later.
    """

    def __init__(self, params):
        super().__init__({
            "address": Out(_address_bits(params) - 1), "read": Out(1), "write": Out(1), "write_data": Out(BEAT),
            "taken": In(1), "read_data": In(BEAT),
        })


class CsrPort(wiring.Signature):
    """Core -> CSR file.

    Members
    -------
    number : Out(8)
        CSR, see `ucode.isa.CSRS`.
    value : In(32)
        Its value, in the same clock.
    """

    def __init__(self):
        super().__init__({"number": Out(8), "value": In(32)})


class CoreTrace(wiring.Signature):
    """What a core does, for traces in simulation.

    Members
    -------
    retire : Out(1)
        The instruction at `pc` is complete.
    pc : Out(12)
        Address of the instruction in execute.
    write : Out(1)
        An instruction before it writes a register.
    register : Out(4)
        Which one.
    result : Out(32)
        What is written.
    """

    def __init__(self):
        super().__init__({"retire": Out(1), "pc": Out(PC_BITS), "write": Out(1), "register": Out(4), "result": Out(32)})
