"""Programs with a injected fault: each must be caught, by the streams or by the monitor of captures."""
import pytest

from spps_sim.model.functional import ProgramError
from spps_sim.model.tcp_scenarios import Transfer

DEFECTS = ("BROKEN_ACK_BEFORE_CONFIRM", "BROKEN_ACK_BEFORE_COMMIT", "BROKEN_ONE_LEG_SYNCED", "BROKEN_FRESH_ISN",
           "BROKEN_WINDOW_SHRINKS", "BROKEN_FIN_FOR_RST", "BROKEN_TAKEOVER_RST", "BROKEN_SLOW_RESUME",
           "BROKEN_DUPLICATE", "BROKEN_TIMESTAMP_BACK", "BROKEN_SACK_UNSENT")


STAMPS = {"client": {"timestamps": True}, "server": {"timestamps": True}}
LOSSY = {"client": {"sack": True}, "server": {"sack": True}, "lose": lambda number, *_: number % 23 == 17}


def caught(define):
    """Problems found over kills of a two-way transfer and one abort."""
    found = []
    for k in range(12, 72, 10):
        for how in ("lost", "record"):
            transfer = Transfer(up=20_000, down=20_000, close="both", defines=[define] if define else [], **STAMPS)
            transfer.pair.kill_at = k, how
            try:
                # peers drop all that it sends
                transfer.run(limit=1000 if define == "BROKEN_TIMESTAMP_BACK" else 100_000)
            except TimeoutError as error:
                found.append(str(error))
            found += transfer.problems()
            if define == "BROKEN_SLOW_RESUME" and transfer.pair.time > 3000:
                found.append("late")
    transfer = Transfer(up=20_000, down=20_000, defines=[define] if define else [], **LOSSY)
    try:
        found += transfer.run(limit=20_000).problems()
    except (TimeoutError, ProgramError) as error:
        found.append(str(error))
    transfer = Transfer(up=50_000, down=50_000, defines=[define] if define else [])
    transfer.pair.run(until=lambda: transfer.server is not None and len(transfer.server.received) > 4000)
    transfer.client.abort()
    transfer.pair.run(limit=100_000)
    if not transfer.server.was("reset") or transfer.server.fin_taken:
        found.append("the server was not reset")
    return found


def test_the_program_itself_is_not_caught():
    assert not caught(None)


@pytest.mark.parametrize("define", DEFECTS)
def test_defect_is_caught(define):
    assert caught(define)
