"""The monitor and HANDOVER: who gives its role up has every record confirmed, and says nothing more."""
import pytest

from tests.checker.env_monitor import Env, found

HANDOVER = 7


def hands_over(confirm=True, number=None):
    """A transfer, then HANDOVER of unit 0."""
    t = Env()
    t.handshake()
    t.heartbeat()
    t.forward()
    t.record(confirm=confirm)
    if confirm:
        t.tcp("client", True, "A", 1, 11)
    t.sync(HANDOVER, t.number if number is None else number)
    return t


@pytest.mark.parametrize("again", [False, True])
def test_a_switch_over_is_a_takeover_without_a_violation(again):
    t = hands_over()
    if again:
        t.sync(HANDOVER, t.number)
    t.take_over()
    t.speak(ack=11)
    assert found(t) == []


def test_handover_before_the_last_confirmation_is_found():
    assert found(hands_over(confirm=False)) == ["I1"]


def test_handover_with_an_older_record_is_found():
    assert found(hands_over(number=1)) == ["I1"]


def test_a_unit_that_emits_after_its_handover_is_found():
    t = hands_over()
    t.speak(ack=11, links=("client",))
    assert found(t) == ["I4"]


def test_a_unit_that_takes_its_role_back_may_emit():
    """No unit took HANDOVER; heartbeats go on, and their echoes."""
    t = hands_over()
    t.heartbeat()
    t.speak(ack=11)
    assert found(t) == []


def test_handover_of_the_standby_is_found():
    t = hands_over()
    t.sync(HANDOVER, t.number, unit=1)
    assert found(t) == ["I4"]
