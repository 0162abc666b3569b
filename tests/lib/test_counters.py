"""Declared counters: layout, joining, and what is refused."""
import pytest

from spps.lib import Counters


def test_layout_has_one_bit_per_counter_in_order():
    layout = Counters({"frames": "frames taken in", "bad": "frames refused"}).layout
    assert [(name, field.offset, field.width) for name, field in layout] == [("frames", 0, 1), ("bad", 1, 1)]


def test_joining_keeps_the_order_and_refuses_a_name_twice():
    both = Counters({"a": "one"}) | Counters({"b": "two"})
    assert list(both.items()) == [("a", "one"), ("b", "two")]
    with pytest.raises(ValueError, match="counter a: declared twice"):
        both | Counters({"a": "three"})


@pytest.mark.parametrize("texts, message", [
    ({"no name": "x"}, "must be a lower-case identifier"), ({"Upper": "x"}, "must be a lower-case identifier"),
    ({"silent": ""}, "must say what is counted"), ({"stop": "ends."}, "without a full stop")])
def test_refuses_bad_names_and_texts(texts, message):
    with pytest.raises(ValueError, match=message):
        Counters(texts)
