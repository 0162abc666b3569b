"""Every instruction of the simulator against expectations written out by hand."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spps.ucode.asm import assemble
from spps.ucode.codec import encode
from spps.ucode.isa import CSRS, OPS_BY_NAME, UNUSED_CODES, TrapCode, memory_map
from spps.ucode.iss import CoreIss

EVENT = [0x1000 + i for i in range(16)]
TOP = 0xFFFF_FFFF


def run(text, workspace=0, leg=0, event=EVENT, **options):
    core = CoreIss(assemble(text), **options)
    core.load_workspace(workspace, [0x2000 + i for i in range(128)])
    return core, core.run_event(event, workspace, leg, trace=True)


def result_of(text, a=0, b=0):
    """Runs one instruction with r1 = a, r2 = b and returns r3."""
    core, result = run(f"la r1, {a:#x}\nla r2, {b:#x}\nli r3, 0\n{text}\neoe r0, r0")
    assert result.trap is None
    return core.regs[3]


ALU = [
    ("add r3, r1, r2", 0xFFFF_FFFF, 2, 1),
    ("sub r3, r1, r2", 1, 2, TOP),
    ("and r3, r1, r2", 0xFF00_FF00, 0x0FF0_0FF0, 0x0F00_0F00),
    ("or r3, r1, r2", 0xFF00_FF00, 0x0FF0_0FF0, 0xFFF0_FFF0),
    ("xor r3, r1, r2", 0xFF00_FF00, 0x0FF0_0FF0, 0xF0F0_F0F0),
    ("shl r3, r1, r2", 0x8000_0001, 1, 2),
    ("shl r3, r1, r2", 0x8000_0001, 33, 2),
    ("shl r3, r1, r2", 1, 31, 0x8000_0000),
    ("shr r3, r1, r2", 0x8000_0000, 31, 1),
    ("shr r3, r1, r2", 0x8000_0000, 32, 0x8000_0000),
    ("oadd r3, r1, r2", 0xFFFF_FFFF, 1, 1),
    ("oadd r3, r1, r2", 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF),
    ("oadd r3, r1, r2", 0x7FFF_FFFF, 1, 0x8000_0000),
    ("minu r3, r1, r2", 0x8000_0000, 1, 1),
    ("minu r3, r1, r2", 3, TOP, 3),
    ("smin r3, r1, r2", 0xFFFF_FFF0, 0x10, 0xFFFF_FFF0),
    ("smin r3, r1, r2", 0x10, 0xFFFF_FFF0, 0xFFFF_FFF0),
    ("smin r3, r1, r2", 0, 0x8000_0000, 0),
    ("smax r3, r1, r2", 0xFFFF_FFF0, 0x10, 0x10),
    ("smax r3, r1, r2", 0x10, 0xFFFF_FFF0, 0x10),
    ("smax r3, r1, r2", 0, 0x8000_0000, 0x8000_0000),
    ("addi r3, r1, -5", 3, 0, 0xFFFF_FFFE),
    ("addi r3, r1, 131071", 1, 0, 0x20000),
    ("andi r3, r1, 0x3FFFF", TOP, 0, 0x3FFFF),
    ("ori r3, r1, 0x20000", 0x8000_0000, 0, 0x8002_0000),
    ("xori r3, r1, 0x3FFFF", TOP, 0, 0xFFFC_0000),
    ("shli r3, r1, 4", 0xF000_000F, 0, 0xF0),
    ("shli r3, r1, 36", 0xF000_000F, 0, 0xF0),
    ("shri r3, r1, 4", 0xF000_000F, 0, 0x0F00_0000),
    ("li r3, -131072", 0, 0, 0xFFFE_0000),
    ("li r3, 131071", 0, 0, 0x1FFFF),
    ("lih r3, r1, 0x3ABCD", 0x1234_5678, 0, 0xABCD_5678),
    ("ext r3, r1, 8, 16", 0x1234_5678, 0, 0x3456),
    ("ext r3, r1, 0, 32", 0x1234_5678, 0, 0x1234_5678),
    ("ext r3, r1, 31, 1", 0x8000_0000, 0, 1),
    ("ext r3, r1, 28, 8", 0x9000_0000, 0, 9),
    ("ins r3, r1, r2, 8, 16", 0x1234_5678, 0xAAAA_BBCC, 0x12BB_CC78),
    ("ins r3, r1, r2, 0, 32", 0x1234_5678, 0xAAAA_BBCC, 0xAAAA_BBCC),
    ("ins r3, r1, r2, 28, 8", 0x1234_5678, 0xFF, 0xF234_5678),
    ("mov r3, r1", 0x1234_5678, 0, 0x1234_5678),
    ("not r3, r1", 0x1234_5678, 0, 0xEDCB_A987),
    ("neg r3, r1", 1, 0, TOP),
    ("subi r3, r1, 5", 3, 0, 0xFFFF_FFFE),
]
BRANCHES = [    # text, a, b, taken
    ("beq r1, r2", 5, 5, True), ("beq r1, r2", 5, 6, False),
    ("bne r1, r2", 5, 5, False), ("bne r1, r2", 5, 6, True),
    ("bltu r1, r2", 1, 0x8000_0000, True), ("bltu r1, r2", 5, 5, False),
    ("bgeu r1, r2", 0x8000_0000, 1, True), ("bgeu r1, r2", 5, 5, True), ("bgeu r1, r2", 4, 5, False),
    ("bslt r1, r2", 0xFFFF_FFFF, 0, True), ("bslt r1, r2", 0, 0xFFFF_FFFF, False), ("bslt r1, r2", 7, 7, False),
    ("bslt r1, r2", 0, 0x8000_0000, True), ("bslt r1, r2", 0x8000_0000, 0, True),
    ("bsge r1, r2", 0, 0xFFFF_FFFF, True), ("bsge r1, r2", 7, 7, True), ("bsge r1, r2", 0xFFFF_FFFF, 0, False),
    ("beqi r1, -1", TOP, 0, True), ("beqi r1, 31", 31, 0, True), ("beqi r1, -1", 63, 0, False),
    ("bnei r1, -1", TOP, 0, False), ("bnei r1, -32", 32, 0, True),
    ("bbs r1, 31", 0x8000_0000, 0, True), ("bbs r1, 0", 0xFFFF_FFFE, 0, False),
    ("bbc r1, 31", 0x8000_0000, 0, False), ("bbc r1, 0", 0xFFFF_FFFE, 0, True),
    ("bsle r1, r2", 7, 7, True), ("bsle r1, r2", 8, 7, False), ("bsle r1, r2", TOP, 7, True),
    ("bsgt r1, r2", 7, 7, False), ("bsgt r1, r2", 8, 7, True),
    ("bleu r1, r2", 7, 7, True), ("bleu r1, r2", 8, 7, False),
    ("bgtu r1, r2", 7, 7, False), ("bgtu r1, r2", 8, 7, True),
    ("beqz r1", 0, 0, True), ("bnez r1", 0, 0, False),
]
ELSEWHERE = {"trap", "ld", "st", "setb", "getb", "swap", "csr", "jmp", "call", "ret", "jtab", "send", "eoe"}


def test_every_instruction_is_covered_here():
    covered = {text.split()[0] for text, *_ in ALU + BRANCHES} | ELSEWHERE
    assert set(OPS_BY_NAME) <= covered


@pytest.mark.parametrize("text, a, b, expected", ALU)
def test_arithmetic(text, a, b, expected):
    assert result_of(text, a, b) == expected


@pytest.mark.parametrize("text, a, b, taken", BRANCHES)
def test_branches(text, a, b, taken):
    assert result_of(f"{text}, there\n li r3, 1\njmp end\nthere: li r3, 2\nend:", a, b) == (2 if taken else 1)


@given(st.integers(0, TOP), st.integers(0, TOP))
def test_sequence_operations_agree_with_the_distance(a, b):
    before = (b - a) % 2**32 <= 2**31 and a != b       # RFC 9293 3.4; half way counts as before, both ways
    assert result_of("smin r3, r1, r2", a, b) == (a if before else b)
    assert result_of("smax r3, r1, r2", a, b) == (b if before else a)


@given(st.integers(0, TOP), st.integers(0, TOP), st.integers(0, 31), st.integers(1, 32))
def test_field_operations_agree_with_strings_of_bits(a, b, pos, width):
    bits = f"{a:032b}"[::-1]
    assert result_of(f"ext r3, r1, {pos}, {width}", a) == int(bits[pos:pos + width][::-1], 2)
    field = f"{b:032b}"[::-1][:width]
    expected = (bits[:pos] + field + bits[pos + width:])[:32]
    assert result_of(f"ins r3, r1, r2, {pos}, {width}", a, b) == int(expected[::-1], 2)


def test_register_0_is_zero():
    core, result = run("li r0, 5\n mov r1, r0\n ld r0, WS.0\n eoe r0, r0")
    assert core.regs[0] == core.regs[1] == 0 and result.trace[0].write is None


def test_the_memory_map():
    assert memory_map(4, 8) == (0, 512, 640, 768)


@pytest.mark.parametrize("leg", [0, 1])
@pytest.mark.parametrize("workspace", [0, 3])
def test_bases_at_the_start_of_an_event(workspace, leg):
    core, _ = run("ld r1, WS.0\n ld r2, L.0\n ld r3, P.0\n ld r4, EV.15\n getb r5, SC\n getb r6, EV\n eoe r0, r0",
                  workspace, leg)
    legs = (0x2000 + 16, 0x2000 + 64)
    assert core.regs[1:7] == [0x2000, legs[leg], legs[1 - leg], EVENT[15], 640, 512]


def test_leg_comes_from_the_event_unless_given():
    event = [0] * 16
    event[1] = 1 << 16
    core = CoreIss(assemble("getb r1, L\n csr r2, event_conn\n eoe r0, r0"))
    core.run_event(event, 2)
    assert core.regs[1] == 2 * 128 + 64


def test_event_slots_are_used_in_turn():
    core = CoreIss(assemble("getb r1, EV\n eoe r0, r0"), event_slots=2)
    bases = []
    for _ in range(3):
        core.run_event(EVENT, 0)
        bases.append(core.regs[1])
    assert bases == [512, 528, 512]


def test_swap_exchanges_legs():
    core, _ = run("swap\n getb r1, L\n getb r2, P\n eoe r0, r0", leg=0)
    assert core.regs[1:3] == [64, 16]


def test_setb_keeps_12_bits():
    core, _ = run("la r1, 0xFFFFF123\n setb X, r1\n getb r2, X\n eoe r0, r0")
    assert core.regs[2] == 0x123


def test_stores_mark_lines_dirty():
    core, result = run("li r1, 7\n st WS.0, r1\n st L.17, r1\n st SC.0, r1\n st EV.0, r1\n li r2, 256\n setb X, r2\n"
                       "st X.127, r1\n eoe r0, r0", workspace=1, leg=1)
    assert result.dirty == 1 << 0 | 1 << (64 + 17) // 8
    assert core.dirty == [0, result.dirty, 1 << 15, 0]
    assert core.workspace(1)[0] == core.workspace(1)[81] == core.workspace(2)[127] == core.mem[640] == 7
    core.load_workspace(1, [0] * 128)
    assert core.dirty[1] == 0


def test_csrs_come_from_a_mapping_or_a_function():
    text = "csr r1, now\n csr r2, cfg.mss\n csr r3, event_conn\n eoe r0, r0"
    event = [0, 0x2_0017, *[0] * 14]
    core, _ = run(text, event=event, csr={"now": 1 << 32 | 9, "cfg.mss": 1460})
    assert core.regs[1:4] == [9, 1460, 0x17]
    core, _ = run(text, event=event, csr=lambda name: CSRS[name])
    assert core.regs[1:4] == [0, CSRS["cfg.mss"], 0x17]


def test_unknown_csr_reads_zero():
    core = CoreIss([encode("csr", rd=1, csr=255), encode("eoe", ra=0, rb=0)])
    core.run_event(EVENT, 0)
    assert core.regs[1] == 0


def test_calls_nest_eight_deep_and_return():
    subs = "".join(f"s{n}: addi r1, r1, 1\n call s{n + 1}\n addi r2, r2, 1\n ret\n" for n in range(7))
    core, result = run(f"li r1, 0\n li r2, 0\n call s0\n eoe r1, r0\n{subs}s7: ret\n")
    assert result.trap is None and core.regs[1:3] == [7, 7]


def test_jtab_adds_the_low_12_bits():
    core, _ = run(
        "la r1, 0xFFFFF001\n jtab r1, t\nt: jmp a\n jmp b\na: li r2, 1\n eoe r0, r0\nb: li r2, 2\n eoe r0, r0")
    assert core.regs[2] == 2


def test_jtab_wraps():
    core, _ = run("li r1, 0xFFF\n jtab r1, 4\n trap 1\n eoe r0, r0\n trap 2")
    assert core.pc == 4     # after the eoe at 3


def test_small_instruction_memory_repeats():
    _, result = run("jmp 257\n eoe r0, r0", imem_words=256)
    assert result.trap is None and result.steps == 2


def test_send_joins_words_and_messages():
    _, result = run("send EV.0, 1, 1\n send EV.4, 2\n send L.0, 1\n eoe r0, r0")
    assert result.messages == [
        [0x1001_0000_1000, 0x1005_0000_1004, 0x1007_0000_1006],
        [0x2011_0000_2010],
    ]


def test_send_of_32_beats():
    _, result = run("send WS.0, 32\n eoe r0, r0")
    assert len(result.messages[0]) == 32 and result.messages[0][31] == 0x203F_0000_203E


def test_end_of_event_reports_deadline_and_close():
    for flag, close in ((5, 1), (4, 0)):
        _, result = run(f"la r1, 0x89ABCDEF\n li r2, {flag}\n eoe r1, r2")
        assert (result.deadline, result.close, result.steps, result.trap) == (0x89ABCDEF, close, 4, None)


@pytest.mark.parametrize("text, code, pc", [
    ("nop\n trap 5", 5, 1),
    ("jmp 9", 0, 9),
    *((f".word {code} << 30", TrapCode.UNUSED_OPCODE, 0) for code in UNUSED_CODES),
    *((f".word {OPS_BY_NAME[name].code} << 30 | 1 << 12 | {base} << 9", TrapCode.BAD_BASE, 0)
      for name in ("ld", "st", "setb", "getb", "send") for base in (6, 7)),
    ("send WS.1, 1", TrapCode.ODD_SEND, 0),
    ("ret", TrapCode.RETURN_STACK, 0),
    ("x: call x", TrapCode.RETURN_STACK, 0),
    ("nop\n ld r1, SC.128", TrapCode.BAD_ADDRESS, 1),
    ("st SC.128, r1", TrapCode.BAD_ADDRESS, 0),
    ("send SC.126, 2", TrapCode.BAD_ADDRESS, 0),
    ("li r1, 0xFFF\n setb X, r1\n ld r1, X.1", TrapCode.BAD_ADDRESS, 2),
    ("x: jmp x", TrapCode.RUNAWAY, 0),
    ("send SC.0, 1, 1\n eoe r0, r0", TrapCode.OPEN_MESSAGE, 1),
])
def test_traps(text, code, pc):
    _, result = run(text)
    assert (result.trap, result.trap_pc) == (code, pc)
    assert result.messages == []


def test_last_words_of_memory_are_legal():
    _, result = run("ld r1, SC.127\n st SC.127, r1\n send SC.126, 1\n eoe r0, r0")
    assert result.trap is None


def test_runaway_counts_executed_instructions():
    core = CoreIss(assemble("nop\n nop\n eoe r0, r0"))
    assert core.run_event(EVENT, 0, max_steps=3).trap is None
    assert core.run_event(EVENT, 0, max_steps=2).trap == TrapCode.RUNAWAY


def test_trap_leaves_the_open_message_apart():
    _, result = run("send EV.0, 1\n send EV.0, 1, 1\n trap 1")
    assert len(result.messages) == 1 and result.unfinished == [0x1001_0000_1000]


def test_registers_differ_from_event_to_event():
    core = CoreIss(assemble("eoe r1, r0"), seed=3)
    first, second = core.run_event(EVENT, 0).deadline, core.run_event(EVENT, 0).deadline
    assert first != second
    assert CoreIss(assemble("eoe r1, r0"), seed=3).run_event(EVENT, 0).deadline == first


def test_steps_tell_what_each_instruction_did():
    core, result = run("li r1, 3\n st SC.1, r1\nx: subi r1, r1, 3\n bnez r1, x\n send SC.0, 1\n eoe r0, r0")
    steps = result.trace
    assert [s.op for s in steps] == ["li", "st", "addi", "bnei", "send", "eoe"]
    assert steps[0].write == (1, 3) and steps[1].store == (641, 3) and steps[3].taken is False
    assert steps[4].beats == [3 << 32] and [s.pc for s in steps] == list(range(6))
    with pytest.raises(RuntimeError, match="call start"):
        core.step()


@pytest.mark.parametrize("call, message", [
    (lambda c: c.run_event([0] * 15, 0), "event of 15 words: must be 16"),
    (lambda c: c.load_workspace(0, [0] * 3), "flowstate of 3 words: must be 128"),
    (lambda c: CoreIss([0] * 300, imem_words=256), "program of 300 words: at most 256"),
])
def test_refuses_wrong_sizes(call, message):
    with pytest.raises(ValueError, match=message):
        call(CoreIss([0]))
