"""Two units in a process each, Ethernet switches, Linux hosts; the failure is kill -9, the rejoin a start."""
import hashlib
import random
import subprocess
import sys

import pytest

from spps.params import TINY
from spps_sim.backend.verilated import VerilatedUnit
from spps_sim.network.testbed import Addresses
from tests.system.env_bed import NETWORKS, Bed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("privilege")]

SIZE = 1_200_000
CONNECT = f"import socket, sys; socket.create_connection(('{Addresses.vip[0]}', 80), float(sys.argv[1])).recv(0)"


@pytest.fixture(scope="module", autouse=True)
def library():
    """What the processes would build, so that the tests measure them and not the compiler."""
    VerilatedUnit.of(TINY).close()


def connects(bed, limit):
    """Whether a new connection opens within so many seconds."""
    return subprocess.run(bed.inside("client", sys.executable, "-c", CONNECT, str(limit)),
                          capture_output=True).returncode == 0


def test_transfers_survive_three_failures_in_a_row(tmp_path):
    """Alternating units: 0, 1, 0 are killed; each but the last comes back and joins while the transfers go on."""
    rng = random.Random(1)
    www = tmp_path / "www"
    www.mkdir()
    (www / "blob").write_bytes(rng.randbytes(SIZE))
    (tmp_path / "up").write_bytes(rng.randbytes(SIZE))
    with Bed(tmp_path) as bed:
        bed.both()
        bed.serve(www)
        down = bed.curl("down", "--limit-rate", "20k", "-o", str(tmp_path / "got"))
        up = bed.curl("up", "--limit-rate", "20k", "-H", "Expect:", "-T", str(tmp_path / "up"))

        def arrived():
            return [path.stat().st_size if path.exists() else 0 for path in (tmp_path / "got", www / "put")]

        for failure, victim in enumerate((0, 1, 0)):
            survivor = 1 - victim
            before = arrived()
            bed.until(lambda before=before: all(b > a + 20_000 for a, b in zip(before, arrived())), 120, "progress")
            assert bed.emitted(survivor) == [0, 0], "the standby is silent on both networks"
            assert [bed.learned(network) for network in NETWORKS] == [[f"port{victim}-{n}"] for n in NETWORKS]
            assert down.poll() is None and up.poll() is None, "the transfers are over before the failure"
            bed.kill9(victim)
            bed.until(lambda active=survivor: bed.status()["active"] == active, 60, f"takeover by unit {survivor}")
            assert [bed.learned(network) for network in NETWORKS] == [[f"port{survivor}-{n}"] for n in NETWORKS]
            words = bed.ctl("status")
            assert f"unit {victim}: dead: no process answers" in words
            assert f"connections are unprotected: unit {victim} confirms nothing" in words
            assert bed.status()["units"][survivor]["epoch"] == failure + 2
            if failure < 2:
                bed.start(victim)
                bed.protected(survivor)
        for curl, what in ((down, "download"), (up, "upload")):
            assert curl.wait(300) == 0, f"{what}: {curl.stderr.read()}"
        for sent, got in ((www / "blob", tmp_path / "got"), (tmp_path / "up", www / "put")):
            assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(sent.read_bytes()).digest()
        stats = bed.ctl("get", "failover_takeover"), bed.ctl("get", "splitter_address_conflict")
        assert stats == ("unit 1: 1\n", "unit 1: 0\n"), "unit 1 was started anew before its second takeover"
        print(bed.ctl("status"))


@pytest.mark.parametrize("announce_count", [3, 0])
def test_announcements_lead_new_connections_to_the_unit_that_took_over(tmp_path, announce_count):
    """No connection is open at the takeover, so nothing but announcements tells the switches.

    Without them a frame of the client goes to the port of the unit that is dead, until ARP of Linux asks everybody.
    """
    with Bed(tmp_path) as bed:
        bed.both(announce_count)
        bed.serve(tmp_path)
        assert connects(bed, 10)
        bed.until(lambda: bed.status()["connections"]["in_use"] == 0, 60, "end of the first connection")
        bed.kill9(0)
        bed.until(lambda: bed.status()["active"] == 1, 60, "takeover")
        ports = [bed.learned(network) for network in NETWORKS]
        if announce_count:
            assert ports == [[f"port1-{network}"] for network in NETWORKS]
            assert bed.emitted(1)[0] >= 2 and connects(bed, 4)
        else:
            assert ports[0] == ["port0-clients"] and not connects(bed, 2)
