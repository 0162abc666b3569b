"""Control and status words as the cores read them."""
from amaranth.hdl import C, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.config import CONFIG, CONFIG_BITS, ConfigWord
from ..ucode.isa import CSR_CONFIG, CSRS

__all__ = ["CsrFile"]

_TABLE = 1 << CONFIG_BITS       # words of the configuration table


class CsrFile(wiring.Component):
    """One read port per core; configuration words, which MMC shows one after the other, are kept in a small memory per core.

    A multiplexer of all words would cost some 350 LUTs per core, the copy 64.
    Source: `ucode.isa.CSRS`.
    Members: the CSR inputs; number, conn (of the event) and value per core; ready: the first copy is complete.
    Latency: combinational from number; configuration one clock after it is shown. Reset: not ready.
    """

    def __init__(self, params, *, index=0):
        self._params, self._index = params, index
        assert CSR_CONFIG == _TABLE
        super().__init__({
            "now": In(32), "cycles": In(32), "isn_clock": In(32), "epoch": In(32), "active": In(1), "sync_ready": In(1),
            "fast_ready": In(1), "pool_status": In(8), "protect": In(1), "cfg": In(ConfigWord),
            "number": In(data.ArrayLayout(8, params.cores)), "conn": In(data.ArrayLayout(16, params.cores)),
            "value": Out(data.ArrayLayout(32, params.cores)), "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        with m.If(self.cfg.valid & (self.cfg.index == len(CONFIG) - 1)):
            m.d.sync += self.ready.eq(1)
        for core in range(self._params.cores):
            m.submodules[f"table{core}"] = table = memory.Memory(shape=32, depth=_TABLE, init=[])
            write, read = table.write_port(), table.read_port(domain="comb")
            number, direct = self.number[core], Signal(32, name=f"direct{core}")
            sources = {
                "now": self.now, "cycles": self.cycles, "isn_clock": self.isn_clock, "active": self.active,
                "epoch": self.epoch, "core_id": C(self._index * self._params.cores + core, 32),
                "sync_ready": self.sync_ready, "fast_ready": self.fast_ready, "pool_status": self.pool_status, "protect": self.protect, "event_conn": self.conn[core],
            }
            with m.Switch(number[:5]):
                for name, source in sources.items():
                    with m.Case(CSRS[name]):
                        m.d.comb += direct.eq(source)
            m.d.comb += [
                write.addr.eq(self.cfg.index), write.data.eq(self.cfg.value), write.en.eq(self.cfg.valid), read.addr.eq(number[:5]),
                self.value[core].eq(Mux(number[6:] != 0, 0, Mux(number[5], read.data, direct))),
            ]
        assert set(sources) == {name for name in CSRS if not name.startswith("cfg.")}
        return m
