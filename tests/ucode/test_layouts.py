"""Places of the flowstate: no two fields share bits, but those that say so."""
from itertools import combinations

import pytest

from spps.layouts.flowstate import FLOWSTATE_WORDS, LEG, LEG_BASE, LEG_STRIDE, SHARED

#: pairs that may: a part of another field, and a word that is used only while the other is not
SHARING = {("options", "max_window"), ("sack_next_1", "hint")}


def bits(field):
    return {32 * field.word + bit for bit in range(field.lsb, field.lsb + field.width)}


@pytest.mark.parametrize("fields, words", [(SHARED, LEG_BASE), (LEG, LEG_STRIDE)])
def test_fields_lie_in_their_part_and_share_no_bits(fields, words):
    assert all(0 <= bit < 32 * words for field in fields.values() for bit in bits(field))
    sharing = {(a, b) for a, b in combinations(fields, 2) if bits(fields[a]) & bits(fields[b])}
    assert sharing == {pair for pair in SHARING if pair[0] in fields}


def test_both_legs_fit():
    assert LEG_BASE + 2 * LEG_STRIDE <= FLOWSTATE_WORDS
