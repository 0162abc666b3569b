from spps.ucode.asm import assemble
from spps.ucode.iss import CoreIss
from spps.ucode.trace import format_trace


def test_trace_shows_source_lines_and_effects():
    image = assemble("start: li r1, 3\n st SC.1, r1\n beqz r1, start\n send SC.0, 1\n trap 9")
    result = CoreIss(image).run_event([0] * 16, 0, trace=True)
    lines = [" ".join(line.split()) for line in format_trace(image, result.trace).splitlines()]
    assert lines == [
        "000 start <text>:1: start: li r1, 3 ; r1=0x3",
        "001 start+1 <text>:2: st SC.1, r1 ; [0x281]=0x3",
        "002 start+2 <text>:3: beqz r1, start ; not taken",
        "003 start+3 <text>:4: send SC.0, 1 ; 1 beats",
        "004 start+4 <text>:5: trap 9 ; trap 0x9",
    ]
