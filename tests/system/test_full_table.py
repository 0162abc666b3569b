"""The table of connections of the pair in RTL: full, with connections in TIME-WAIT and without; and tuples that come
again at once. Python peers in simulated time.
"""
import pytest

from spps_sim.campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.network.simulated import SimulatedNetwork
from spps_sim.peers import Endpoint

pytestmark = pytest.mark.slow
LONG = 100_000          # ticks of an MSL that no test outlives
LIMIT = 400_000         # cycles that anything may take


class Table:
    """A pair between two hosts; the server answers a FIN with its own."""

    def __init__(self, **registers):
        scenario = Scenario(registers={"msl": LONG, "window": 4096} | registers)
        self.sim = sim = scenario.simulation()
        sim.configure(scenario.pair_registers())
        sim.step(5000)
        sim.pop_frames()
        self.net = SimulatedNetwork(sim, scenario.latency, seed=1)
        self.frames = []
        self.net.on_frame = self.frames.append
        self.client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, scenario.peer_config(), 1)
        self.server = Endpoint("server", SERVER_MAC, SERVER, scenario.peer_config(), 1)
        self.client.config.msl = self.server.config.msl = 10
        self.net.attach(0, self.client)
        self.net.attach(1, self.server)
        self.server.listen(80, self._serve)
        self.size = sim.params.connections

    @staticmethod
    def _serve(connection, what):
        if what == "data":
            connection.write(bytes(connection.received[-5:]))
        if what == "fin":
            connection.close()

    def read(self, name):
        return self.sim.read(self.sim.active(), name)

    def wait(self, done, what):
        assert self.net.run_until(self.sim.cycle + LIMIT, done), what

    def connect(self, port=None):
        return self.client.connect(VIP[0], 80, local_port=port)

    def opened(self, port=None):
        made = self.connect(port)
        self.wait(lambda: made.state.name == "ESTABLISHED", made.history)
        return made

    def closed(self, made):
        """It is in TIME-WAIT in the pair, and gone at both ends."""
        before = self.read("timers_armed")
        made.close()
        self.wait(lambda: made.state.name == "CLOSED", made.history)
        self.net.run_until(self.sim.cycle + 2000)
        assert self.read("timers_armed") >= before
        return made

    def alive(self, made):
        made.write(b"alive")
        self.wait(lambda: made.received.endswith(b"alive"), made.history)

    def judge(self):
        report = check([f for raw in self.frames if not raw.err and (f := to_frame(raw))])
        assert report.ok, report.violations[:5]
        assert report.checks
        assert self.read("director_traps") == 0 and self.read("lookup_replay_lost") == 0
        assert self.read("free_pages") == self.sim.params.scratch_pages


@pytest.mark.parametrize("takeover", [False, True])
def test_a_full_table_gives_up_those_in_time_wait_and_then_refuses(takeover):
    table = Table()
    for _ in range(5):
        table.closed(table.opened())
    living = [table.opened() for _ in range(table.size - 5)]
    assert table.read("in_use") == table.size
    if takeover:
        table.sim.kill(table.sim.active())
        table.wait(lambda: table.sim.active() == 1, "no takeover")
        for made in living:
            table.alive(made)
    for n in range(5):
        made = table.opened()
        assert made.counters["sent"] and made.was("syn") == 1 and made.counters["retransmitted"] == 0
        assert table.read("lookup_recycled") == n + 1 and table.read("in_use") == table.size
        living.append(made)
    refused = table.connect()
    table.wait(lambda: refused.was("refused"), refused.history)
    assert table.read("lookup_table_full") == 1
    for made in living:
        table.alive(made)
    table.judge()


def test_five_syns_at_once_find_five_places():
    table = Table()
    for _ in range(5):
        table.closed(table.opened())
    living = [table.opened() for _ in range(table.size - 5)]
    new = [table.connect() for _ in range(5)]
    table.wait(lambda: sum(made.state.name == "ESTABLISHED" for made in new) >= 4, [m.history for m in new])
    assert table.read("lookup_recycled") >= 4
    table.wait(lambda: all(made.state.name == "ESTABLISHED" or made.was("refused") for made in new), "the fifth")
    for made in living + [made for made in new if not made.was("refused")]:
        table.alive(made)
    table.judge()


def test_a_register_chooses_silence():
    table = Table(refuse_silently=1)
    living = [table.opened() for _ in range(table.size)]
    made = table.connect()
    table.wait(lambda: table.read("lookup_table_full") >= 2, "the SYN was not repeated")
    assert made.state.name == "SYN_SENT" and table.read("lookup_refused") == table.read("lookup_table_full")
    table.alive(living[0])
    table.judge()


@pytest.mark.parametrize("full", [False, True])
def test_a_tuple_opens_again_at_once_while_the_pair_is_in_time_wait(full):
    table = Table()
    living = [table.opened(20_000 + n) for n in range(table.size - 1 if full else 1)]
    isns = []
    for _ in range(20):
        made = table.opened(30_000)
        assert made.was("syn") == 1 and made.counters["retransmitted"] == 0
        isns.append(made.irs)
        table.alive(made)
        table.closed(made)
        table.client.connections.pop((made.local, made.remote))
        assert table.read("in_use") == len(living) + 1
        # the peer takes ISNs at random: the next one lies beyond the numbers of this one
        number = made.iss + 1000 & 0xFFFFFFFF
        table.client._random.getrandbits = lambda bits, number=number: number
    assert all((b - a) & 0xFFFFFFFF < 1 << 31 for a, b in zip(isns, isns[1:]))
    assert table.read("lookup_replayed") == 19 and table.read("lookup_recycled") == 0
    for made in living:
        table.alive(made)
    table.judge()


@pytest.mark.parametrize("gap", [0, 20, 100, 300, 1000])
def test_a_syn_right_behind_a_reset_is_not_lost(gap):
    table = Table()
    made = table.opened(30_000)
    for n in range(20):
        made.abort()
        if gap:
            table.net.run_until(table.sim.cycle + gap + n)
        made = table.opened(30_000)
        assert made.counters["retransmitted"] == 0
        table.alive(made)
        assert table.read("in_use") == 1
    table.judge()
