"""What the trace says of a run of the RTL pair: against the frames on the wire, the program, and as a user sees it."""
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from spps.cli import main
from spps.layouts.activity import activity_layout
from spps.layouts.event import EVENT_WORDS, EventKind
from spps.layouts.message import MessageKind
from spps.layouts.output import OutputFlag
from spps.params import TINY
from spps.ucode.codec import decode
from spps.ucode.names import STRUCTS
from spps.ucode.programs import default_image
from spps_sim.backend.interface import Activity, FrameKind
from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker.wire import parse_segment
from spps_sim.model.functional import Output
from spps_sim.trace.activity import ActivityReader
from spps_sim.trace.trace import Tracer

IMAGE = default_image()


@pytest.fixture(scope="module")
def watched():
    """(trial, CoreEvents) of a transfer without a kill, watched from before its first frame."""
    trial = Trial(Scenario())
    trial.sim.watch()
    trial.start()
    trial.finish()
    assert trial.failures() == []
    trial.net.run_until(trial.sim.cycle + 3 * trial.scenario.peer_config().msl)     # to the end of TIME-WAIT
    reader = ActivityReader(trial.sim.params)
    reader.feed(trial.sim.pop_activity())
    return trial, reader.events


def segments(trial, kind):
    return [(raw.side, s.seq, s.ack, s.flags, len(s.payload)) for raw in trial.frames
            if raw.kind is kind and (s := parse_segment(raw.data)) is not None]


@pytest.mark.slow
def test_events_and_segments_of_the_trace_are_the_frames_on_the_wire(watched):
    trial, events = watched
    assert all(event.ended and event.words is not None for event in events)
    came = [(e.field("iface"), *(e.field(n) for n in ("seq", "ack", "tcp_flags", "payload_len"))) for e in events
            if e.field("kind") == EventKind.TCP.value]
    assert Counter(came) == Counter(segments(trial, FrameKind.IN))
    outputs = [Output(m.words) for e in events for m in e.messages if m.kind is MessageKind.OUTPUT]
    left = [(o.iface, o.seq, o.ack, o.tcp_flags, o.length) for o in outputs if not o.flags & OutputFlag.ARP]
    assert Counter(left) == Counter(segments(trial, FrameKind.OUT)) and len(left) > 20


@pytest.mark.slow
def test_every_event_runs_from_the_first_instruction_to_an_end_of_event(watched):
    _, events = watched
    assert len(events) > 20
    for event in events:
        pcs = [step.pc for step in event.steps]
        ops = [decode(IMAGE.words[pc]).op for pc in pcs]
        assert pcs[0] == 0 and ops[-1] == "eoe" and "eoe" not in ops[:-1]
        for here, op, following in zip(pcs, ops, pcs[1:]):
            assert following == here + 1 or op.startswith(("b", "j", "call", "ret")), (hex(here), op, hex(following))
        sends = sum(op == "send" for op in ops)
        assert sends >= len(event.messages) - 1, "more messages than `send`s"


@pytest.mark.slow
def test_state_of_a_connection_can_be_followed_from_handshake_to_time_wait(watched):
    trial, events = watched
    tracer = Tracer(trial.sim.params, IMAGE)
    text = "".join(tracer.entry(event).text() for event in events)
    assert "leg 0: " in text and "state SYN_HELD -> SYN_RCVD" in text and "state SYN_RCVD -> ESTABLISHED" in text
    assert re.search(r"flags \{[^}]*\} -> \{[^}]*TIME_WAIT[^}]*\}", text)
    size = trial.scenario.up
    assert f"-> irs+{size + 1}" in text and f"snd_una iss+{size + 1} -> iss+{size + 2}" in text, (
        "to the last byte, and over the FIN")
    assert f"copy {trial.scenario.mss} bytes" in text and "full record for the standby" in text
    assert "retire record" in text
    assert re.search(r"^ +\d+  fast\.uasm:\d+ +st L\.rcv_nxt, r\d+ +leg 0 rcv_nxt = irs\+1073$", text, re.M)


@pytest.mark.slow
def test_command_shows_one_connection_around_the_kill_and_the_report_has_it_too(tmp_path):
    def run(*options):
        return CliRunner().invoke(main, ["trace", "--seed", "3", "--bytes", "6000", "--out", str(tmp_path), *options])
    done = run("--conn", "0", "--events", "3")
    assert done.exit_code == 0, done.output
    heads = re.findall(r"^cycle (\d+)  unit (\d) core \d  conn (\d)", done.stdout, re.M)
    assert {conn for *_, conn in heads} == {"0"} and {unit for _, unit, _ in heads} == {"0", "1"}
    assert 4 <= len(heads) <= 6
    assert [int(cycle) for cycle, *_ in heads] == sorted(int(cycle) for cycle, *_ in heads)
    assert "TIMER KICK" in done.stdout and "takeover.uasm:" in done.stdout and "sent   +" in done.stdout
    report = (tmp_path / "report.html").read_text()
    assert "What the cores did for connection 0" in report and "takeover.uasm:" in report and "TIMER KICK" in report
    brief = run("--around", "open", "--events", "2", "--no-steps")
    assert ".uasm" not in brief.stdout and "SYN seq=irs+0" in brief.stdout
    wrong = run("--conn", "9")
    assert wrong.exit_code == 2 and "--conn 9: the run has connections 0 to 1" in wrong.output


def activity(**fields):
    """Bits of cluster 0: fields of core 0."""
    cluster = activity_layout(TINY)[0].shape
    core = cluster["cores"].shape[0].shape.as_shape()
    return sum(value << cluster["cores"].offset + core[name].offset for name, value in fields.items())


def test_an_event_from_before_the_watch_has_no_words():
    reader = ActivityReader(TINY)
    reader.feed([Activity(5, 0, activity(start=1, slot=3, workspace=2, leg=1)),
                 Activity(6, 0, activity(retire=1, pc=7, store=1, address=9, value=0xABCD))])
    event, = reader.events
    assert (event.words, event.conn, event.workspace, event.leg, event.ended) == (None, None, 2, 1, False)
    assert event.steps == [(6, 7, (9, 0xABCD), False)]


def beats(way, *words):
    """Activities of a message, whole or a part of it, in clocks of their own: 64 bits per word."""
    cluster = activity_layout(TINY)[0].shape
    field = cluster[way].shape.as_shape()
    return [(word << field["data"].offset | 1 << field["valid"].offset
             | (word is words[-1]) << field["last"].offset) << cluster[way].offset
            for word in words]


def test_what_began_before_the_watch_is_not_mixed_up_with_what_it_saw():
    def done(conn):
        return beats("o", MessageKind.DONE.value | 1 << 24, conn)
    conn = STRUCTS["Event"]["conn"]
    words = [0] * EVENT_WORDS
    words[conn.word] = 7 << conn.lsb
    event = [words[n] | words[n + 1] << 32 for n in range(0, EVENT_WORDS, 2)]
    seen = [*beats("i", 0), *beats("o", 0xFF00), *beats("i", MessageKind.EVENT.value | 8 << 24, *event),
            activity(commit=1, commit_slot=2), activity(start=1, slot=2), *beats("o", MessageKind.SYNC.value, 1),
            *done(3), *beats("o", MessageKind.COPY.value, 1, 2), *done(7)]
    reader = ActivityReader(TINY, begin=0)
    reader.feed([Activity(cycle, 0, bits) for cycle, bits in enumerate(seen)])
    only, = reader.events
    assert only.ended and only.conn == 7 and [m.kind for m in only.messages] == [MessageKind.COPY, MessageKind.DONE]
