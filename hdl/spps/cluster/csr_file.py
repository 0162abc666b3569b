"""Control and status words as the cores read them."""
from amaranth.hdl import C, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.config import CONFIG, CONFIG_BITS
from ..ucode.isa import CSR_CONFIG, CSRS
from .ports import CsrInputs, CsrPort

__all__ = ["CsrFile"]

_TABLE = 1 << CONFIG_BITS       # words of the configuration table


class CsrFile(wiring.Component):
    """One read port per core for status words and configuration words.

    Configuration words come one after the other and are kept in a small memory per core: a multiplexer of all words
    would cost some 350 LUTs per core, the copy 64.

    Parameters
    ----------
    params : SppsParams
        cores.
    index : int
        Number of the cluster.

    Members
    -------
    i : In(CsrInputs)
        Status of the system, and the configuration.
    core : In(CsrPort), array of cores
        Reads.
    conn : In(ArrayLayout(16, cores))
        Connection of the event at work in each core.
    ready : Out(1)
        Every configuration word has been shown once.

    Timing
    ------
    Values are combinational from `number`; a configuration word counts one clock after it is shown.

    Reset
    -----
    Not ready.

    Source
    ------
    `ucode.isa.CSRS`.
    """

    def __init__(self, params, *, index=0):
        self._params, self._index = params, index
        assert CSR_CONFIG == _TABLE
        super().__init__({
            "i": In(CsrInputs()), "core": In(CsrPort()).array(params.cores),
            "conn": In(data.ArrayLayout(16, params.cores)),
            "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.i.cfg
        with m.If(cfg.valid & (cfg.index == len(CONFIG) - 1)):
            m.d.sync += self.ready.eq(1)
        shown = {name: getattr(self.i, name) for name in CsrInputs().members if name != "cfg"}
        for core in range(self._params.cores):
            m.submodules[f"table{core}"] = table = memory.Memory(shape=32, depth=_TABLE, init=[])
            write, read = table.write_port(), table.read_port(domain="comb")
            number, direct = self.core[core].number, Signal(32, name=f"direct{core}")
            sources = shown | {"core_id": C(self._index * self._params.cores + core, 32), "event_conn": self.conn[core]}
            assert set(sources) == {name for name in CSRS if not name.startswith("cfg.")}
            with m.Switch(number[:CONFIG_BITS]):
                for name, source in sources.items():
                    with m.Case(CSRS[name]):
                        m.d.comb += direct.eq(source)
            m.d.comb += [
                write.addr.eq(cfg.index), write.data.eq(cfg.value), write.en.eq(cfg.valid),
                read.addr.eq(number[:CONFIG_BITS]),
                self.core[core].value.eq(
                    Mux(number[CONFIG_BITS + 1:] != 0, 0, Mux(number[CONFIG_BITS], read.data, direct))),
            ]
        return m
