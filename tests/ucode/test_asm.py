"""What the assembler makes of correct programs. Field positions are written out here, as independent expectations."""
import json

import pytest

from spps.layouts.flowstate import LEG, SHARED
from spps.ucode.asm import assemble
from spps.ucode.codec import decode, encode

WS, L, P, EV, SC, X = range(6)


def one(text, **kwargs):
    words = assemble(text, **kwargs).words
    assert len(words) == 1
    return words[0]


@pytest.mark.parametrize("text, op, operands", [
    ("add r1, r2, r3", "add", {"rd": 1, "ra": 2, "rb": 3}),
    ("ld r1, WS.snd_una_0", "ld", {"rd": 1, "base": WS, "offset": 2}),
    ("ld r1, WS.8+1", "ld", {"rd": 1, "base": WS, "offset": 9}),
    ("ld r1, L.snd_nxt", "ld", {"rd": 1, "base": L, "offset": 18}),
    ("st P.irs, r4", "st", {"base": P, "offset": 9, "rb": 4}),
    ("ld r1, EV.seq", "ld", {"rd": 1, "base": EV, "offset": 5}),
    ("ld r1, EV.word(window)", "ld", {"rd": 1, "base": EV, "offset": 7}),
    ("ld r1, SC.3", "ld", {"rd": 1, "base": SC, "offset": 3}),
    ("ld r1, X.0x1ff", "ld", {"rd": 1, "base": X, "offset": 511}),
    ("setb X, r3", "setb", {"base": X, "ra": 3}),
    ("getb r3, L", "getb", {"base": L, "rd": 3}),
    ("csr r5, cfg.window", "csr", {"rd": 5, "csr": 77}),
    ("csr r5, epoch", "csr", {"rd": 5, "csr": 4}),
    ("send SC.4, 9", "send", {"base": SC, "offset": 4, "beats": 9, "more": 0}),
    ("send L.0, OUTPUT_ADDRESS_BEATS, 1", "send", {"base": L, "offset": 0, "beats": 3, "more": 1}),
    ("beqi r1, EventKind.TIMER, 5", "beqi", {"ra": 1, "imm": 7, "target": 5}),
    ("bbs r1, bit(OptionFlag.TIMESTAMP), 5", "bbs", {"ra": 1, "bit": 3, "target": 5}),
    ("bbc r1, ConnFlag.TIME_WAIT, 5", "bbc", {"ra": 1, "bit": 7, "target": 5}),
    ("bbs r1, bit(EV.noflow), 5", "bbs", {"ra": 1, "bit": 18, "target": 5}),
    ("ext r1, r2, lsb(L.rcv_wscale), width(L.rcv_wscale)", "ext", {"rd": 1, "ra": 2, "pos": 24, "width": 8}),
    ("andi r1, r2, OutputFlag.GATED | OutputFlag.MSS", "andi", {"rd": 1, "ra": 2, "imm": 3}),
    ("li r1, -(2 + 3) * 4 - 1 << 1", "li", {"rd": 1, "imm": -42}),
    ("li r1, ~0 & 0xFF ^ 0b11 | 0x1_00", "li", {"rd": 1, "imm": 0x1FC}),
    ("li r1, 0xFFFFFFFE", "li", {"rd": 1, "imm": -2}),
    ("eoe r0, r1", "eoe", {"ra": 0, "rb": 1}),
    ("st SC.2+OutputBody.seq, r1", "st", {"base": SC, "offset": 8, "rb": 1}),
])
def test_encodes_one_instruction(text, op, operands):
    assert one(text) == encode(op, **operands)


def expand(text):
    return [decode(word) for word in assemble(text).words]


@pytest.mark.parametrize("text, expected", [
    ("ldf r2, L.mss", [("ld", {"rd": 2, "base": L, "offset": 10}), ("ext", {"rd": 2, "ra": 2, "pos": 0, "width": 16})]),
    ("ldf r2, P.remote_port",
     [("ld", {"rd": 2, "base": P, "offset": 4}), ("ext", {"rd": 2, "ra": 2, "pos": 16, "width": 16})]),
    ("ldf r2, L.iss", [("ld", {"rd": 2, "base": L, "offset": 8})]),
    ("stf L.snd_wscale, r3", [("ld", {"rd": 15, "base": L, "offset": 10}),
                              ("ins", {"rd": 15, "ra": 15, "rb": 3, "pos": 16, "width": 8}),
                              ("st", {"base": L, "offset": 10, "rb": 15})]),
    ("stf L.state, r3", [("st", {"base": L, "offset": 39, "rb": 3})]),
    ("stf SC.2+OutputBody.tcp_flags, r3", [("ld", {"rd": 15, "base": SC, "offset": 10}),
                                           ("ins", {"rd": 15, "ra": 15, "rb": 3, "pos": 16, "width": 8}),
                                           ("st", {"base": SC, "offset": 10, "rb": 15})]),
    ("la r1, 5", [("li", {"rd": 1, "imm": 5})]),
    ("la r1, 0xFFFFFFFF", [("li", {"rd": 1, "imm": -1})]),
    ("la r1, 0x12348765", [("li", {"rd": 1, "imm": 0x8765}), ("lih", {"rd": 1, "ra": 1, "imm": 0x1234})]),
    ("la r1, hdr(OUTPUT, SOCKET, 8)", [("li", {"rd": 1, "imm": 0x0205}), ("lih", {"rd": 1, "ra": 1, "imm": 0x0800})]),
    ("la r1, hdr(MessageKind.RELEASE, Unit.SOCKET, 0)", [("li", {"rd": 1, "imm": 0x0204})]),
    ("mov r1, r2", [("addi", {"rd": 1, "ra": 2, "imm": 0})]),
    ("nop", [("addi", {"rd": 0, "ra": 0, "imm": 0})]),
    ("subi r1, r2, 3", [("addi", {"rd": 1, "ra": 2, "imm": -3})]),
    ("neg r1, r2", [("sub", {"rd": 1, "ra": 0, "rb": 2})]),
    ("not r1, r2", [("sub", {"rd": 1, "ra": 0, "rb": 2}), ("addi", {"rd": 1, "ra": 1, "imm": -1})]),
    ("bsle r1, r2, 7", [("bsge", {"ra": 2, "rb": 1, "target": 7})]),
    ("bsgt r1, r2, 7", [("bslt", {"ra": 2, "rb": 1, "target": 7})]),
    ("bleu r1, r2, 7", [("bgeu", {"ra": 2, "rb": 1, "target": 7})]),
    ("bgtu r1, r2, 7", [("bltu", {"ra": 2, "rb": 1, "target": 7})]),
    ("beqz r1, 7", [("beqi", {"ra": 1, "imm": 0, "target": 7})]),
    ("bnez r1, 7", [("bnei", {"ra": 1, "imm": 0, "target": 7})]),
])
def test_expands_pseudo_instructions(text, expected):
    assert expand(text) == expected


@pytest.mark.parametrize("base, fields", [("WS", SHARED), ("L", LEG), ("P", LEG)])
def test_every_field_of_the_layouts_has_its_name(base, fields):
    for name, field in fields.items():
        first = expand(f"ldf r1, {base}.{name}")
        assert first[0].operands["offset"] == field.word
        assert (len(first) == 1) == (field.width == 32)


def test_labels_may_be_used_before_and_after_their_definition():
    image = assemble("a: jmp b\n jmp a\nb:\nc: ret")
    assert image.symbols == {"a": 0, "b": 2, "c": 2}
    assert image.words[:2] == [encode("jmp", target=2), encode("jmp", target=0)]


def test_label_through_equ_keeps_its_size():
    image = assemble(".equ THERE here + 0\n la r1, THERE\nhere: la r2, here")
    assert image.symbols["here"] == 2
    assert image.words[0] == encode("li", rd=1, imm=2)


def test_conditions_follow_defines_and_equ():
    text = ".equ B 1\n.ifdef A\n li r1, 1\n.else\n li r1, 2\n.endif\n.ifndef B\n junk $$$\n.ifdef A\n.endif\n.endif"
    assert one(text, defines=["A"]) == encode("li", rd=1, imm=1)
    assert one(text) == encode("li", rd=1, imm=2)


def test_define_has_a_value():
    assert one("li r1, N", defines=["N=0x10"]) == encode("li", rd=1, imm=16)


def test_macro_substitutes_arguments_and_makes_labels_unique():
    image = assemble(".macro wait reg, n\n li \\reg, \\n\nw\\@: subi \\reg, \\reg, 1\n bnez \\reg, w\\@\n.endm\n"
                     "go: wait r1, (3 + 1)\n wait r2, hdr(EVENT, DIRECTOR, 0)\n")
    assert image.symbols == {"go": 0, "w1": 1, "w2": 4}
    assert image.words[0] == encode("li", rd=1, imm=4)
    assert image.words[5] == encode("bnei", ra=2, imm=0, target=4)
    assert image.where(4) == "<text>:7: w2: subi r2, r2, 1"


def test_register_names_hold_from_their_line_on():
    image = assemble(".reg seq r3\n mov r1, seq\n.reg seq r4\n mov r1, seq")
    assert [decode(w).operands["ra"] for w in image.words] == [3, 4]


def test_scratch_is_allocated_in_order_and_buffers_are_even():
    image = assemble(".scratch one\n.scratch buffer 4\n.scratch next\n ld r1, SC.buffer+1\n ld r1, SC.next")
    assert image.constants == {"one": 0, "buffer": 2, "next": 6}
    assert [decode(w).operands["offset"] for w in image.words] == [3, 6]


def test_org_and_word_place_raw_words():
    image = assemble(".org 2\n .word 0x812345678\nx: nop")
    assert image.words[:3] == [0, 0, 0x812345678]
    assert image.symbols == {"x": 3} and set(image.source) == {2, 3}


def test_include_is_found_beside_the_file_and_in_directories(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.uasm").write_text('.include "a.uasm"\n.include "b.uasm"\n ret ; end\n')
    (tmp_path / "a.uasm").write_text(" nop\n")
    (tmp_path / "lib" / "b.uasm").write_text("b: swap\n")
    image = assemble(tmp_path / "main.uasm", include_dirs=[tmp_path / "lib"])
    assert [image.where(a) for a in range(3)] == ["a.uasm:1: nop", "b.uasm:1: b: swap", "main.uasm:3: ret"]
    assert assemble(str(tmp_path / "main.uasm"), include_dirs=[tmp_path / "lib"]).words == image.words


def test_listing_and_symbol_map():
    image = assemble(".equ N 3\nstart: la r1, 0x12345678\n ret")
    assert image.listing().splitlines() == [
        "start:",
        f"000  {image.words[0]:09x}  <text>:2                start: la r1, 0x12345678",
        f"001  {image.words[1]:09x}",
        f"002  {image.words[2]:09x}  <text>:3                ret",
    ]
    assert json.loads(image.symbol_map()) == {
        "labels": {"start": 0}, "constants": {"N": 3},
        "lines": {"0": ["<text>", 2], "1": ["<text>", 2], "2": ["<text>", 3]}}
    assert image.label_at(2) == "start+2"
    assert image.hex().splitlines()[0] == f"{image.words[0]:09x}"
