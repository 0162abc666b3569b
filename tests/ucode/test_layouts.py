"""Places of the flowstate: no two fields share bits, but those that say so."""
from itertools import combinations

import pytest

from spps.layouts.flowstate import FLOWSTATE_WORDS, GAP_BLOCKS, GAP_LISTS, LEG, LEG_BASE, LEG_STRIDE, LINE_WORDS, SHARED

#: pairs that may: a part of another field, and a word that is used only while the other is not
SHARING = {("options", "max_window"), ("sack_next_1", "hint")}


def bits(field):
    return {32 * field.word + bit for bit in range(field.lsb, field.lsb + field.width)}


@pytest.mark.parametrize("fields, words", [(SHARED, LEG_BASE), (LEG, LEG_STRIDE)])
def test_fields_lie_in_their_part_and_share_no_bits(fields, words):
    assert all(0 <= bit < 32 * words for field in fields.values() for bit in bits(field))
    sharing = {(a, b) for a, b in combinations(fields, 2) if bits(fields[a]) & bits(fields[b])}
    assert sharing == {pair for pair in SHARING if pair[0] in fields}


def test_both_legs_and_the_lists_of_kept_blocks_fit_and_do_not_meet():
    legs, lists = (LEG_BASE, LEG_BASE + LEG_STRIDE), (GAP_LISTS, GAP_LISTS + LINE_WORDS)
    taken = [word for fields, bases in ((SHARED, (0,)), (LEG, legs)) for base in bases
             for word in {base + field.word for field in fields.values()}]
    taken += [word for base in lists for word in range(base, base + 2 * GAP_BLOCKS)]
    assert len(taken) == len(set(taken)) and max(taken) < FLOWSTATE_WORDS
