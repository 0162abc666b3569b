"""The program across a takeover: kill after every event of a short connection, from SYN to the end of TIME-WAIT."""
import pytest

from spps.layouts.flowstate import ConnFlag
from spps_sim.model.tcp_scenarios import Transfer


def killed(k, how, **kw):
    transfer = Transfer(**kw)
    transfer.pair.kill_at = k, how
    return transfer.run(limit=100_000)


def sweep(how, **kw):
    """Kills after each event; returns the transfers."""
    whole = Transfer(**kw).run()
    whole.check()
    failures, transfers = [], []
    for k in range(1, whole.pair.units[0].events + 1):
        transfer = killed(k, how, **kw)
        problems = transfer.problems()
        if problems:
            failures.append(f"killed after event {k}: " + "; ".join(problems))
        transfers.append(transfer)
    assert not failures, "\n".join(failures)
    return transfers


@pytest.mark.parametrize("how", ["lost", "record"])
@pytest.mark.parametrize("close", ["client", "server", "both"])
@pytest.mark.parametrize("up, down", [(3000, 2000), (0, 700), (700, 0), (0, 0)])
def test_survives_a_kill_after_every_event(how, close, up, down):
    sweep(how, close=close, up=up, down=down)


@pytest.mark.parametrize("how", ["lost", "record"])
@pytest.mark.parametrize("delay, sync_delay, detect", [(1, 1, 10), (20, 1, 5), (2, 30, 50), (40, 40, 3)])
def test_survives_for_other_delays(how, delay, sync_delay, detect):
    sweep(how, up=4000, down=4000, delay=delay, sync_delay=sync_delay, detect=detect)


@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_inside_a_long_transfer(how):
    total = Transfer(up=30_000, down=30_000, close="both").run().pair.units[0].events
    for k in range(1, total, 7):
        transfer = killed(k, how, up=30_000, down=30_000, close="both")
        assert not transfer.problems(), (k, transfer.problems())


@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_when_the_sequence_numbers_wrap(how):
    """The peers' ISNs, and ours by turning the ISN clock, lie just below 2^32."""
    probe = Transfer(peer_iss=(1 << 32) - 1500).run()
    for leg in (0, 1):
        base = -initial_number(probe, leg) - 1000
        transfers = sweep(how, up=3000, down=3000, peer_iss=(1 << 32) - 1500, isn_base=base)
        assert initial_number(transfers[-1], leg) > (1 << 32) - 1100


def initial_number(transfer, leg):
    """The ISN of the unit on a leg."""
    return next(o.seq for o in transfer.pair.units[0].segments if o.iface == leg and o.tcp_flags & 2)


def test_resumes_soon_after_the_takeover():
    """Duplicate ACKs at a takeover make peers retransmit at once: sooner than their smallest timeout, 200 ticks."""
    for k in range(8, 30):
        transfer = Transfer(up=60_000, down=0)
        transfer.pair.kill_at = k, "lost"
        pair = transfer.pair
        pair.run(until=lambda pair=pair: pair.units[1].active)
        start, before = pair.time, len(transfer.server.received)
        pair.run(until=lambda transfer=transfer, before=before: len(transfer.server.received) > before)
        assert pair.time - start < 50, (k, pair.time - start)


def taken_over():
    """A transfer whose unit 1 is active and alone."""
    transfer = Transfer(up=60_000, down=1000)
    pair = transfer.pair
    pair.kill_at = 25, "lost"
    pair.run(until=lambda: pair.units[1].active)
    return transfer, pair.units[1]


def protected(unit):
    return unit.flowstates[0][0] >> ConnFlag.PROTECTED & 1


def test_without_a_standby_a_connection_is_unprotected_after_the_takeover():
    transfer, unit = taken_over()
    assert not protected(unit)
    records = unit.issued
    transfer.pair.run(until=lambda: len(transfer.server.received) > 20_000)
    assert unit.issued == records
