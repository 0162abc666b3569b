from hypothesis import given
from hypothesis import strategies as st

from spps.ucode.asm import assemble
from spps.ucode.codec import encode
from spps.ucode.disasm import disassemble, disassemble_image
from spps.ucode.isa import OPS, WORD_BITS
from tests.ucode.ucode_strategies import instructions


@given(instructions())
def test_text_assembles_to_the_same_word(instruction):
    word = encode(instruction[0], **instruction[1])
    assert assemble(disassemble(word)).words == [word]


@given(st.integers(0, (1 << WORD_BITS) - 1))
def test_any_word_comes_back(word):
    assert assemble(disassemble(word)).words == [word]


def test_names_of_fields_csrs_and_labels():
    image = assemble("x: ld r1, L.snd_nxt\n ldf r2, L.mss\n csr r3, cfg.window\n jmp x")
    lines = [line.split(";")[0].strip() for line in disassemble_image(image.words, image.symbols).splitlines()]
    assert lines == ["x:", "ld    r1, L.snd_nxt", "ld    r2, L.10", "ext   r2, r2, 0, 16", "csr   r3, cfg.window",
                     "jmp   x"]


def test_program_round_trip():
    text = "x: ld r1, L.snd_nxt\n beqi r1, -3, x\n .word 0x8FFFFFFFF\n eoe r0, r0"
    image = assemble(text)
    assert assemble(disassemble_image(image.words, image.symbols)).words == image.words


def test_every_mnemonic_is_its_own_text():
    for op in OPS:
        assert disassemble(op.code << 30).split()[0] in (op.name, ".word")
