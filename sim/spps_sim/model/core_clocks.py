"""Clocks of a protocol core, from what the instruction-set simulator executed.

The table is in `hdl/spps/cluster/README.md`. Waiting for the message bus is not included. The lockstep benches hold
this to the RTL, event by event.
"""
from spps.ucode.codec import decode

__all__ = ["BETWEEN", "LEAD", "clocks", "busy_clocks"]

BETWEEN = 3                 # from the last instruction of an event to the first of the next one in the queue
LEAD = 1                    # of these the last one counts as busy
JUMP, LATE_USE, CARRY, TRAP = 1, 1, 1, 1
LATE = ("ld", "csr", "getb")      # whose result is there in write-back


def clocks(trace):
    """Clocks of an event from its [Step], and those until the next queued one begins."""
    total, late = BETWEEN, None
    for step in trace:
        operands = decode(step.word).operands if step.op else {}
        total += len(step.beats) or 1
        total += JUMP if step.taken or step.op == "jtab" else 0
        total += CARRY if step.op == "oadd" else 0
        total += LATE_USE if late and late in (operands.get("ra"), operands.get("rb")) else 0
        total += TRAP if step.trap is not None else 0
        late = step.write[0] if step.op in LATE and step.write else None
    return total


def busy_clocks(trace):
    """Return what busy_cycles of the core counts for the event."""
    return clocks(trace) - BETWEEN + LEAD
