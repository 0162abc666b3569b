import pytest
from hypothesis import given
from hypothesis import strategies as st

from spps.ucode.codec import decode, encode, operand_range, operands_of
from spps.ucode.isa import FORMATS, OPS, WORD_BITS
from tests.ucode.ucode_strategies import instructions


@given(instructions())
def test_decode_returns_what_was_encoded(instruction):
    op, operands = instruction
    word = encode(op, **operands)
    assert 0 <= word < 1 << WORD_BITS
    assert decode(word) == (op, operands)


@given(st.integers(0, (1 << WORD_BITS) - 1))
def test_every_word_decodes_or_is_refused(word):
    used = {op.code for op in OPS}
    if word >> 30 not in used:
        with pytest.raises(ValueError, match="unused opcode"):
            decode(word)
        return
    op, operands = decode(word)
    mask = 0x3F << 30 | sum((1 << o.width) - 1 << o.lsb for o in operands_of(op))
    assert encode(op, **operands) == word & mask


def test_operands_of_a_format_do_not_overlap():
    for name, form in FORMATS.items():
        bits = [b for o in form.operands for b in range(o.lsb, o.lsb + o.width)]
        assert len(bits) == len(set(bits)) and all(b < 30 for b in bits), name


@given(instructions(), st.data())
def test_refuses_values_out_of_range(instruction, data):
    op, operands = instruction
    if not operands:
        return
    operand = data.draw(st.sampled_from(operands_of(op)))
    low, high = operand_range(operand)
    operands[operand.name] = data.draw(st.sampled_from((low - 1, high + 1)))
    with pytest.raises(ValueError, match=f"{operand.name} of {op} is {operands[operand.name]}, expected {low}..{high}"):
        encode(op, **operands)


@pytest.mark.parametrize("op, operands, message", [
    ("mul", {}, "unknown instruction 'mul'"),
    ("add", {"rd": 1, "ra": 2}, "add takes rd, ra, rb; got rd, ra"),
    ("ret", {"rd": 1}, "ret takes no operands; got rd"),
])
def test_refuses_wrong_operands(op, operands, message):
    with pytest.raises(ValueError, match=message):
        encode(op, **operands)


def test_words_are_where_the_documentation_says():
    assert encode("add", rd=1, ra=2, rb=3) == 0x30 << 30 | 1 << 26 | 2 << 22 | 3 << 18
    assert encode("ins", rd=1, ra=2, rb=3, pos=4, width=32) == 0x1E << 30 | 1 << 26 | 3 << 22 | 2 << 18 | 4
    assert encode("li", rd=15, imm=-1) == 0x01 << 30 | 15 << 26 | 0x3FFFF
    assert encode("send", base=4, offset=6, beats=32, more=1) == 0x06 << 30 | 1 << 17 | 4 << 9 | 6
    assert encode("trap", imm=0) == 0
