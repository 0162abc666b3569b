"""What makes Linux resend when a unit has taken over: hdl/spps/failover/README.md, "What makes Linux resend"."""
import pytest

from tests.linux.linux_prompts import MSS, PROMPTS, RTT, measured

HONEST = [name for name, (_, honest) in PROMPTS.items() if honest]
WIDER = "window wider by a segment"


@pytest.mark.parametrize("prompt", HONEST)
def test_nothing_that_is_true_makes_linux_resend_at_once_when_it_has_no_more_to_send(prompt, privilege):
    """Linux waits for its tail-loss probe, two round trips, and then for the report of what the probe found."""
    again, fresh = measured(prompt, 4 * MSS)
    assert fresh is None and again > 1.7 * RTT


@pytest.mark.parametrize("prompt", [name for name in HONEST if name != WIDER])
def test_nor_when_the_window_keeps_it_from_sending(prompt, privilege):
    again, _ = measured(prompt, 40 * MSS)
    assert again > 1.7 * RTT


def test_room_for_a_new_segment_brings_it_and_its_report_the_rest_a_round_trip_later(privilege):
    again, fresh = measured(WIDER, 40 * MSS)
    assert fresh < 0.5 * RTT and 0.9 * RTT < again < 1.7 * RTT


def test_a_report_of_a_later_segment_does(privilege):
    """What the prompt of hdl/spps/ucode/programs/takeover.uasm says when a record knows of such a segment."""
    again, _ = measured("SACK of the second segment", 4 * MSS)
    assert again < RTT
