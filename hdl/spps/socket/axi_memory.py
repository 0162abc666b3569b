"""Pages in external memory behind an AXI4 port.

Source: AMBA AXI protocol specification, ARM IHI 0022 (bursts A3.4.1, write strobes A3.4.4, responses A3.4.5).
"""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from ..lib.skid_buffer import SkidBuffer
from .storage import answer_layout, read_signature, row_layout, write_signature

__all__ = ["AxiMemory", "axi_signature"]

INCR = 1                    # AxBURST
NORMAL = 0b0011             # AxCACHE: modifiable and bufferable
BURSTS = 4                  # writes whose address has gone and whose rows have not


def axi_signature(geometry):
    """Ports of an AXI4 manager, seen from it: one ID, 32-bit addresses."""
    width = 8 * geometry.lanes
    address = {"id": Out(1), "addr": Out(32), "len": Out(8), "size": Out(3), "burst": Out(2), "lock": Out(1),
               "cache": Out(4), "prot": Out(3), "valid": Out(1), "ready": In(1)}
    return wiring.Signature({
        **{f"aw{name}": flow for name, flow in address.items()},
        "wdata": Out(width), "wstrb": Out(geometry.lanes), "wlast": Out(1), "wvalid": Out(1), "wready": In(1),
        "bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
        **{f"ar{name}": flow for name, flow in address.items()},
        "rid": In(1), "rdata": In(width), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
    })


class AxiMemory(wiring.Component):
    """Turns each burst of rows into one INCR burst of AXI4; all have one ID, so answers come in order.

    A page is at most 2048 bytes and aligned to its size, so no burst crosses a 4 KiB boundary. Bytes lie in memory in
    the order of the wire. A burst is `written` with its response: a read that is asked for later finds it.

    Parameters
    ----------
    geometry : Geometry
        A page has at most 256 rows.

    Members
    -------
    w : In(write_signature)
        Bursts to be written.
    r : In(read_signature)
        Bursts to be read.
    axi : Out(axi_signature)
        AXI4 manager.

    Timing
    ------
    Latency: that of the memory and 2 clocks. Throughput 1 row per clock each way. Each channel waits for its `ready`;
    rows of a write are offered with their address or later.

    Drop
    ----
    None. The response SLVERR or DECERR sets `w.error` or `r.answer.err`.

    Reset
    -----
    Idle. Answers to transfers from before a reset are not expected.

    Raises
    ------
    ValueError
        A page has more rows than the longest burst.
    """

    def __init__(self, geometry):
        if geometry.max_rows > 256:
            raise ValueError(f"page of {geometry.max_rows} rows: must be at most 256, the longest burst of AXI4")
        self.geometry = geometry
        super().__init__({"w": In(write_signature(geometry)), "r": In(read_signature(geometry)),
                          "axi": Out(axi_signature(geometry))})

    def elaborate(self, platform):
        m = Module()
        g, axi, w, r = self.geometry, self.axi, self.w, self.r
        for prefix in ("aw", "ar"):
            m.d.comb += [getattr(axi, f"{prefix}{name}").eq(value) for name, value in (
                ("size", g.lane_bits), ("burst", INCR), ("cache", NORMAL))]
        m.submodules.lengths = lengths = fifo.SyncFIFO(width=len(w.burst.p.rows), depth=BURSTS)
        self._address(m, w.burst, "aw", lengths)
        self._address(m, r.burst, "ar", None)

        # the rows of a burst, behind its address
        m.submodules.rows = rows = SkidBuffer(data.StructLayout({"row": row_layout(g), "last": 1}))
        sent, last, goes = Signal(range(g.max_rows)), Signal(), Signal()
        m.d.comb += [
            last.eq(sent + 1 == lengths.r_data), goes.eq(rows.i.valid & rows.i.ready),
            rows.i.valid.eq(w.row.valid & lengths.r_rdy), w.row.ready.eq(rows.i.ready & lengths.r_rdy),
            rows.i.p.row.eq(w.row.payload), rows.i.p.last.eq(last), lengths.r_en.eq(goes & last),
            axi.wvalid.eq(rows.o.valid), rows.o.ready.eq(axi.wready), axi.wlast.eq(rows.o.p.last),
            axi.wdata.eq(self._swapped(rows.o.p.row.data)), axi.wstrb.eq(rows.o.p.row.strobe),
            axi.bready.eq(1),
        ]
        with m.If(goes):
            m.d.sync += sent.eq(sent + 1)
            with m.If(last):
                m.d.sync += sent.eq(0)
        m.d.sync += [w.written.eq(axi.bvalid), w.error.eq(axi.bresp[1])]       # SLVERR, DECERR

        m.submodules.answers = answers = SkidBuffer(answer_layout(g))
        m.d.comb += [
            answers.i.valid.eq(axi.rvalid), axi.rready.eq(answers.i.ready),
            answers.i.p.data.eq(self._swapped(axi.rdata)), answers.i.p.err.eq(axi.rresp[1]),
        ]
        wiring.connect(m, answers.o, wiring.flipped(r.answer))
        return m

    def _swapped(self, word):
        """Bytes reversed: the first byte is the most significant one of a row, the least significant one of the bus."""
        return Cat(*(word[8 * i:8 * i + 8] for i in reversed(range(self.geometry.lanes))))

    def _address(self, m, burst, prefix, lengths):
        """Drive one address channel; `lengths` also takes the number of rows, for the data channel."""
        g, axi = self.geometry, self.axi
        valid = getattr(axi, f"{prefix}valid")
        free = ~valid | getattr(axi, f"{prefix}ready")
        take = Signal(name=f"{prefix}_take")
        m.d.comb += burst.ready.eq(free & lengths.w_rdy if lengths is not None else free)
        m.d.comb += take.eq(burst.valid & burst.ready)
        if lengths is not None:
            m.d.comb += [lengths.w_data.eq(burst.p.rows), lengths.w_en.eq(take)]
        with m.If(free):
            m.d.sync += valid.eq(take)
        with m.If(take):
            m.d.sync += [getattr(axi, f"{prefix}addr").eq(burst.p.row << g.lane_bits),
                         getattr(axi, f"{prefix}len").eq(burst.p.rows - 1)]
