"""What may be wrong with a connection that need not survive: each rule, with a connection that breaks it."""
from types import SimpleNamespace

import pytest

from spps_sim.campaign.verdict import lost_streams, promised
from spps_sim.peers import State

SENT = bytes(range(200))


def connection(received=SENT, fins=(), conflicts=(), fin_taken=False, state=State.CLOSED):
    return SimpleNamespace(received=received, fin_numbers=set(fins), fin_taken=fin_taken, state=state,
                           queue=SimpleNamespace(conflicts=list(conflicts)))


@pytest.mark.parametrize("received", [b"", SENT[:50], SENT])
def test_a_stream_that_breaks_off_may_end(received):
    assert list(lost_streams(connection(received), SENT)) == []
    assert list(lost_streams(connection(SENT, fins=[201], fin_taken=True), SENT)) == []


@pytest.mark.parametrize("broken, says", [
    ({"received": SENT[:50] + b"?" + SENT[51:80]}, "received 80 bytes, of which 50 are right"),
    ({"received": SENT + b"more"}, "received 204 bytes, of which 200 are right"),
    ({"received": SENT[1:]}, "received 199 bytes, of which 0 are right"),
    ({"conflicts": [(7, 1, 2)]}, "byte 7 came with two values"),
    ({"fins": [51, 201]}, "FIN numbers [51, 201]; expected at most one"),
    ({"received": SENT[:50], "fins": [51], "fin_taken": True}, "a FIN after 50 of 200 bytes"),
    ({"state": State.ESTABLISHED}, "still ESTABLISHED: neither RST nor timeout has ended it"),
])
def test_what_is_wrong_is_named(broken, says):
    assert list(lost_streams(connection(**broken), SENT)) == [says]


def test_a_promise_counts_before_each_failure():
    kept, none = {"protected": True}, {"protected": False}
    assert promised([]) and promised([kept, kept])
    assert not promised([kept, none]) and not promised([none])
