"""Every error names file, line and what was expected; all errors of a program are reported at once."""
import pytest

from spps.ucode.asm import AssemblerError, assemble


def errors(text, **kwargs):
    with pytest.raises(AssemblerError) as caught:
        assemble(text, **kwargs)
    return caught.value.errors


@pytest.mark.parametrize("text, line, message", [
    ("add r1, r2, 5", 1, "`5` is no register, expected r0..r15 or a .reg name"),
    ("add r1, r2, r16", 1, "`r16` is no register, expected r0..r15"),
    ("add r1, r2", 1, "add has 2 operands, expected rd, ra, rb"),
    ("ret r1", 1, "ret has 1 operands, expected none"),
    ("addi r1, r2, r3", 1, "`r3` is a register, expected a number for imm"),
    ("beq r1, r2, r3", 1, "`r3` is a register, expected a label for target"),
    ("ld r1, r2", 1, "undefined symbol `r2`, expected"),
    ("ld r1, 5", 1, "`5` is no memory operand, expected base.offset, as L.snd_nxt or SC.3"),
    ("li r1, L.snd_nxt", 1, "`L.snd_nxt` is a memory operand, expected a number"),
    ("setb L.iss, r1", 1, "`L.iss` is no base, expected WS, L, P, EV, SC, X"),
    ("csr r1, cfg.windw", 1, "unknown CSR `cfg.windw`, expected one of now, cycles,"),
    ("csr r1, 5", 1, "unknown CSR `5`, expected one of"),
    ("ld r1, L.mss", 1, "`L.mss` is packed (16 bits at bit 0), expected ldf"),
    ("st EV.leg, r1", 1, "`EV.leg` is packed (1 bits at bit 16), expected stf"),
    ("st SC.4+OutputBody.window, r1", 1, "`SC.4+OutputBody.window` is packed (16 bits at bit 0), expected stf"),
    ("ldf r1, SC.4", 1, "`SC.4` is no field, expected a name of the layouts; use ld or st"),
    ("stf L.mss, r15", 1, "stf of a packed field overwrites r15, expected another register than r15"),
    ("ld r1, L.snd_nx", 1, "unknown field `L.snd_nx`, expected one of mac_hi, iface"),
    ("ld r1, SC.buffer", 1, "undefined symbol `buffer`, expected a label, .equ, .scratch or define"),
    ("ld r1, WS.512", 1, "offset `WS.512` is 512, expected 0..511"),
    ("li r1, 0x20000", 1, "imm `0x20000` is 131072, expected -131072..131071; la loads 32 bits"),
    ("la r1, 0x100000000", 1, "constant 0x100000000, expected 32 bits"),
    ("subi r1, r2, 131073", 1, "imm `131073` is -131073, expected -131072..131071"),
    ("ext r1, r2, 0, 33", 1, "width `33` is 33, expected 1..32"),
    ("beqi r1, 32, 0", 1, "imm `32` is 32, expected -32..31"),
    ("bbs r1, 32, 0", 1, "bit `32` is 32, expected 0..31"),
    ("jmp 4096", 1, "target `4096` is 4096, expected 0..4095"),
    ("jmp nowhere", 1, "undefined symbol `nowhere`, expected a label, .equ, .scratch or define"),
    ("x: nop\nx: nop", 2, "`x` is defined twice, expected a new name (first at <text>:1)"),
    (".equ x 1\nx: nop", 2, "`x` is defined twice, expected a new name (first at <text>:1)"),
    ("r3: nop", 1, "`r3` is reserved, expected another name"),
    ("WS: nop", 1, "`WS` is reserved, expected another name"),
    (".equ a b\n.equ b a\n li r1, a", 1, "`a` is defined by itself, expected no cycle"),
    ("mul r1, r2, r3", 1, "unknown instruction `mul`, expected an instruction, pseudo-instruction or macro"),
    (".data 5", 1, "unknown directive .data, expected .equ, .reg,"),
    (".equ 5", 1, ".equ `5`, expected .equ NAME expression"),
    (".reg a 5", 1, "`5` is no register, expected"),
    (".scratch", 1, ".scratch ``, expected .scratch NAME [words]"),
    (".scratch a 100\n.scratch b 29", 2, ".scratch b of 29 words ends at 129, expected 1..128"),
    (".org 4\n nop\n.org 2", 3, ".org 0x2 goes back, expected at least 0x5"),
    (".org 5000", 1, ".org 0x1388, expected at most 0x1000"),
    (".org here\nhere: nop", 1, "`here` is a label, expected a constant here"),
    (".word 1 << 36", 1, ".word 0x1000000000, expected 36 bits"),
    ("li r1, 1 +", 1, "syntax error in `r1, 1 +` at the end, expected"),
    ("li r1,, 2", 1, "syntax error in `r1,, 2` at `,`, expected"),
    ("li r1, $5", 1, "syntax error in `r1, $5` at `$`, expected"),
    ("$nop", 1, "cannot read `$nop`, expected [label:] [instruction operands]"),
    ("li r1, EventKind.TPC", 1, "unknown member `EventKind.TPC`, expected one of NONE, TCP,"),
    ("li r1, Kind.TCP", 1, "unknown name `Kind.TCP`, expected one of WS, L,"),
    ("li r1, OutputBody.window", 1, "`OutputBody.window` is packed (word 8, bits 15..0), expected word("),
    ("la r1, hdr(OUTPUT, SOCKET)", 1, "hdr takes 3 arguments, got 2; expected hdr(KIND, UNIT, beats)"),
    ("la r1, hdr(OUTPUT, SOCKET, 256)", 1, "length of the header is 256, expected 0..255"),
    ("li r1, sqrt(4)", 1, "unknown function `sqrt`, expected hdr, word, lsb, width, bit or mask"),
    ("li r1, bit(5)", 1, "argument of bit is `5`, expected a field or a power of two"),
    ("li r1, width(SC.4)", 1, "argument of width is `SC.4`, expected a field"),
    ("li r1, bit(1, 2)", 1, "bit takes 1 argument, got 2"),
    ("li r1, 1 << 100", 1, "shift by 100, expected 0..64"),
    (".ifdef A\n nop", 1, "condition is not closed, expected .endif before the end of the file"),
    ("nop\n.endif", 2, ".endif without .ifdef, expected .ifdef NAME before it"),
    (".else", 1, ".else without .ifdef, expected .ifdef NAME before it"),
    (".ifdef A\n.else\n.else\n.endif", 3, "second .else, expected .endif"),
    (".ifdef\n.endif", 1, ".ifdef ``, expected one name"),
    (".macro m a\n nop", 1, "macro m is not closed, expected .endm before the end of the file"),
    (".endm", 1, ".endm without .macro, expected .macro NAME before it"),
    (".macro m\n.endm\n.macro m\n.endm", 3, "macro m is defined twice, expected a new name"),
    (".macro m a\n li \\a, 1\n.endm\n m r1, r2", 4, "macro m got 2 arguments, expected 1 (a)"),
    (".macro m\n m\n.endm\n m", 4, "macro m is expanded in too many others, or in itself; expected at most 16 levels"),
    ("\n.include a.uasm", 2, '.include `a.uasm`, expected .include "file.uasm"'),
    ('.include "none.uasm"', 1, "cannot find none.uasm, expected it beside the source or in an include directory"),
])
def test_error_names_place_and_expectation(text, line, message):
    found = errors(text)
    assert found[0].startswith(f"<text>:{line}: {message}"), found


def test_reports_all_errors_of_a_program():
    found = errors("ld r1, L.mss\n foo\nx: nop\nx: jmp nowhere\n")
    assert [int(e.split(":")[1]) for e in found] == [1, 2, 4]
    assert "\n".join(found) == str(AssemblerError(found))


def test_program_too_long_names_the_first_word_that_does_not_fit():
    assert errors("nop\n" * 260, imem_words=256) == [
        "<text>:257: program of 260 words is too long, expected at most 256"]


def test_recursive_include(tmp_path):
    (tmp_path / "a.uasm").write_text('nop\n.include "b.uasm"\n')
    (tmp_path / "b.uasm").write_text('.include "a.uasm"\n')
    assert errors(tmp_path / "a.uasm") == ["b.uasm:1: a.uasm includes itself, expected no recursion"]


def test_error_in_an_included_file_names_that_file(tmp_path):
    (tmp_path / "a.uasm").write_text('.include "b.uasm"\n')
    (tmp_path / "b.uasm").write_text("\n foo\n")
    assert errors(tmp_path / "a.uasm")[0].startswith("b.uasm:2: unknown instruction `foo`")


def test_missing_source_file(tmp_path):
    assert "cannot read it" in errors(tmp_path / "none.uasm")[0]


def test_too_many_terms_are_one_line():
    (said,) = errors("nop\nli r1, 1" + "+1" * 20_000)
    assert said == "<text>:2: the expression has too many terms, expected a shorter one"


def test_a_define_that_is_given_twice():
    assert errors("nop", defines=["A=1", "A=2"]) == [
        "<command line>:0: define `A` is given twice, expected it once"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.uasm").write_bytes(b"\xef\xbb\xbfnop\n")
    assert assemble(tmp_path / "a.uasm").words == assemble("nop\n").words


def test_bad_define():
    assert errors("nop", defines=["A=x"]) == ["<command line>:0: define `A=x`, expected NAME or NAME=number"]


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    path = tmp_path / "image.uasm"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(AssemblerError) as error:
        assemble(path)
    assert error.value.errors == [f"{path}:0: cannot read it: no UTF-8 text, expected a source file"]
