"""Clocks a protocol core spends on an event: `python -m spps_sim.bench.events`.

The real program runs in the instruction-set simulator, in the functional pair, on a protected upload in full segments with the
sync link up. Clocks are not simulated but added up from the executed instructions by the table in `hdl/spps/cluster/README.md`:
one per instruction, one more per taken branch and jtab and where the next instruction uses a loaded register, n per `send` of n
beats, 3 between two events. Waiting for the message bus is not included. tests/cluster/test_core_clocks.py holds this to the RTL.

Writes cycles_per_event to build/bench/summary.json, beside what other benches wrote there:
data_segment   a full segment, copied and sent on
pure_ack       its ACK: record to the standby, ACK to the other peer
proxied_mss_protected   both: all a core does per full segment of a protected connection
"""
import json
from pathlib import Path

from spps.layouts.event import EventKind
from spps.ucode.codec import decode

from ..model.tcp_scenarios import Transfer

__all__ = ["clocks", "measure", "main"]

BETWEEN, JUMP, LOAD_USE, CARRY = 3, 1, 1, 1
SUMMARY = Path(__file__).resolve().parents[3] / "build" / "bench" / "summary.json"


def clocks(trace):
    """Clocks of an event from its [Step], until the next queued one begins."""
    total, loaded = BETWEEN, None
    for step in trace:
        instruction = decode(step.word)
        used = {instruction.operands.get(name) for name in ("ra", "rb")}
        total += len(step.beats) or 1
        total += JUMP if step.taken or step.op == "jtab" else 0
        total += CARRY if step.op == "oadd" else 0
        total += LOAD_USE if loaded and loaded in used else 0
        loaded = step.write[0] if step.op == "ld" and step.write else None
    return total


def measure(segments=200, defines=()):
    """Mean clocks of the events of one upload: {"data_segment", "pure_ack", "proxied_mss_protected"}."""
    mss = 1460
    transfer = Transfer(up=segments * mss, down=0, defines=defines)
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
        core.run_event = traced
    transfer.run().check()
    means = {name: round(sum(values) / len(values), 1) for name, values in seen.items()}
    return means | {"proxied_mss_protected": round(sum(means.values()), 1)}


def main():
    cost = measure()
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    summary = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else {}
    SUMMARY.write_text(json.dumps(summary | {"cycles_per_event": cost}, indent=2) + "\n")
    for name, value in cost.items():
        print(f"{name:24} {value:6.1f} clocks")


if __name__ == "__main__":
    main()
