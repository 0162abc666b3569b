"""Order of work when a program is swapped, without RTL; under traffic in test_core_loss_rtl.py."""
import pytest

from spps.params import DUO, TINY
from spps_sim.backend.reprogram import Reprogram, read_image
from spps_sim.backend.simulation import Simulation


class Unit:
    """A backend whose registers remember what was written, and whose cores take some looks to become idle."""

    def __init__(self, params, busy=2):
        self.names = {name: 4 * n for n, name in enumerate(
            ["imem_address", "imem_high", "imem_low"]
            + [f"{kind}_{core}" for core in range(params.total_cores) for kind in ("mask", "outstanding")])}
        self.values = {address: 0xFFFF if name.startswith("mask") else 0 for name, address in self.names.items()}
        self.left = {f"outstanding_{core}": busy for core in range(params.total_cores)}
        self.log, self.cycle = [], 0

    def register(self, unit, address, data=None):
        self.cycle += 1
        name = next(n for n, a in self.names.items() if a == address)
        if data is None:
            if name in self.left:
                self.left[name] -= 1
                return max(0, self.left[name])
            return self.values[address]
        self.values[address] = data
        self.log.append((name, data))
        return None


def swap(params, image, **kw):
    backend = Unit(params)
    steps = Reprogram(Simulation(backend, backend.names, params), 0, image, **kw)
    return backend, steps, sum(1 for _ in steps)


def test_a_cluster_gets_no_events_while_it_is_written():
    params = TINY.replace(clusters=2, cores=2, pool_pages=(512, 64, 64, 64))
    backend, steps, count = swap(params, [1 << 32 | 5, 7], chunk=1)
    names = [name for name, _ in backend.log]
    for cluster, cores in enumerate(((0, 1), (2, 3))):
        for core in cores:
            off, on = (i for i, (name, _) in enumerate(backend.log) if name == f"mask_{core}")
            first = backend.log.index(("imem_address", cluster << 12))
            assert off < first < on and backend.log[on][1] == 0xFFFF
            assert names[first:first + 5] == ["imem_address", "imem_high", "imem_low", "imem_high", "imem_low"]
            assert on > first + 4
    assert [s.cluster for s in steps.clusters] == [0, 1] and all(s.masked < s.idle < s.back for s in steps.clusters)
    assert count >= 2 * (1 + 2), "time passes while cores have events and between words"


def test_one_cluster_cannot_serve_and_be_written():
    with pytest.raises(ValueError, match="clusters=1: must be at least 2"):
        swap(TINY, [0])


def test_an_image_that_does_not_fit_is_refused_before_anything_is_masked():
    with pytest.raises(ValueError, match="the instruction memory has 4096"):
        swap(DUO, [0] * 4097)


def test_a_file_that_is_no_program_is_named(tmp_path):
    path = tmp_path / "odd.uasm"
    path.write_text("main: dance r1\n")
    with pytest.raises(RuntimeError, match="odd.uasm:1"):
        read_image(str(path), TINY)
    with pytest.raises(RuntimeError, match="missing.uasm"):
        read_image(str(tmp_path / "missing.uasm"), TINY)
    assert read_image("default", TINY).words
