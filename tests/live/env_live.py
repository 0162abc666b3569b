"""A testbed without RTL, namespaces or time: registers, flowstates and status words are what a test says."""

from spps.mmc import register_addresses
from spps.params import TINY
from spps_sim.backend.fake import FakePair
from spps_sim.backend.interface import Mark
from spps_sim.backend.simulation import Simulation
from spps_sim.network.testbed import Testbed


class _Pair(FakePair):
    """FakePair with registers by name. A stopped unit does not answer, as in RTL."""

    def __init__(self, names):
        super().__init__()
        self.names = {address: name for name, address in names.items()}
        self.values = [{"cfg_mode": 1}, {"cfg_mode": 1}]    # of each unit, by name
        self.written = []  # (unit, name, value)
        self.flowstates = {}  # conn -> {word: value}
        self.words = {"active": 1, "epoch_0": 1, "epoch_1": 0}
        self._place = 0

    def register(self, unit, address, data=None):
        if (self._controls[0] | self._controls[1]) >> unit & 1:
            raise RuntimeError(f"unit {unit} has stopped and was asked all the same")
        name = self.names[address]
        self.step(8)
        if data is not None:
            if name == "flowstate_address":
                self._place = data
            else:
                self.written.append((unit, name, data))
                self.values[unit][name] = data
            return 0
        if name == "flowstate_data":
            value = self.flowstates.get(self._place >> 7, {}).get(self._place & 127, 0)
            self._place += 1
            return value
        return self.values[unit].get(name, 0)

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        self._controls = (kill, freeze, detector)

    def status(self):
        return {**super().status(), **self.words}


class Env(Testbed):
    """What the modules of spps_sim.live work on. Unit 0 is active and protected, unit 1 its standby."""

    def __init__(self, params=TINY):
        names = register_addresses(params)
        self.pair = _Pair(names)
        super().__init__(Simulation(self.pair, names, params), params, speed=100_000)
        self.turns = 0
        self.pair.values[0] |= {"active": 1, "epoch": 1, "lease_valid": 1, "peer_present": 1, "protect": 1, "joined": 1}
        for values in self.pair.values:
            values["sync_key"] = 1
        self.pair.values[1] |= {"joined": 1}

    def turn(self, idle_wait=0.0):
        self.turns += 1
        self.sim.step(100)

    def role(self, bits, epoch=2):
        """The units in `bits` are active from now on."""
        self.pair.words |= {"active": bits, f"epoch_{bits >> 1}": epoch}
        self.pair._marks.append(Mark(self.sim.cycle, "active", bits))
        for unit in (0, 1):
            self.pair.values[unit]["active"] = bits >> unit & 1
            if bits >> unit & 1:
                self.pair.values[unit]["epoch"] = epoch
