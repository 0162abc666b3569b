"""Two SPPS that protect one another, behind an IP switch, as one top."""
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .failover import FaultyLink, IpSwitch, LinkControl
from .layouts.activity import activity_layout
from .layouts.packet import packet_layout, packet_signature
from .layouts.register import RegisterRequest
from .params import TINY, checked_params
from .top import PROBES
from .unit_board import UnitBoard

__all__ = ["SppsPair", "SIDE_UNIT_BIT"]

#: bit of `port` in frames on `o` that tells which unit emitted them
SIDE_UNIT_BIT = 4


class SppsPair(wiring.Component):
    """Active and standby SPPS, each behind its own SPI-4 pair, an IP switch and the sync link.

    Parameters
    ----------
    params : SppsParams
        Of both units. Their module `spps` is generated apart (`gen.write_pair`).

    Members
    -------
    i, o : In, Out(stream of packet)
        Whole frames from and to the networks, port 0 client side, 1 server side. On `o`, bit SIDE_UNIT_BIT of `port`
        names the unit that emits them.
    tap_sync_0, tap_sync_1 : Out(packet word and valid)
        Words that unit 0 (1) puts on the sync link in this clock; `valid` is a strobe.
    kill, freeze : In(2)
        Bit n stops unit n. A killed unit is one that is frozen, and the IP switch may know that it is dead.
    power_up : In(2)
        Bit n resets unit n and what stands for its MACs, as when its board is switched on. It must be stopped before.
    link_0, link_1 : In(LinkControl)
        Faults of the sync link that the frames of unit 0 (1) meet. 0: none, the link is a wire.
    detector : In(2)
        External failure detection, to unit n (F10, 1010).
    appoint : In(2)
        The same entity names unit n the owner of the addresses; 0 or both: the IP switch decides by itself.
    i_mmc_n, o_mmc_n : In(stream of RegisterRequest), Out(stream of 32 bits)
        Register access of unit n.
    active, epoch_n, issued_n, confirmed_n, delivered_n, done_n, copied_n : Out(2), Out(16), Out(32)
        Status, for campaigns and traces.
    activity_n : Out(layouts.activity)
        What the cores of unit n do.

    Timing
    ------
    Latency two SPI-4 crossings more than that of one SPPS. Throughput 1 word per clock. `i` waits for the SPI-4 status.

    Drop
    ----
    In the IP switch, counted there; on the sync link of a dead unit, and where `link_0` and `link_1` say so.

    Reset
    -----
    Synchronous; unit 0 becomes active.

    Source
    ------
    Patent §X.B, F9, F10.
    """

    def __init__(self, params=TINY):
        params = checked_params(params)
        if params.socket_memory != "onchip":
            raise ValueError(f"socket_memory={params.socket_memory!r}: must be onchip, a pair has no memory ports")
        self.params = params
        width = params.data_width
        tap = wiring.Signature({"payload": Out(packet_layout(width)), "valid": Out(1)})
        members = {
            "i": In(packet_signature(width)), "o": Out(packet_signature(width)),
            "tap_sync_0": Out(tap), "tap_sync_1": Out(tap),
            "kill": In(2), "freeze": In(2), "power_up": In(2), "detector": In(2), "appoint": In(2), "active": Out(2),
        }
        for n in range(2):
            members[f"i_mmc_{n}"] = In(stream.Signature(RegisterRequest))
            members[f"o_mmc_{n}"] = Out(stream.Signature(unsigned(32)))
            members[f"epoch_{n}"] = Out(16)
            members[f"link_{n}"] = In(LinkControl)
            for name in PROBES:
                members[f"{name}_{n}"] = Out(32)
            members[f"activity_{n}"] = Out(activity_layout(params))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        params = self.params
        m.submodules.ip_switch = ip_switch = IpSwitch(params)
        wiring.connect(m, wiring.flipped(self.i), ip_switch.i)
        wiring.connect(m, ip_switch.o, wiring.flipped(self.o))

        boards = []
        for n in range(2):
            m.submodules[f"board_{n}"] = board = UnitBoard(params)
            alive = ~(self.kill[n] | self.freeze[n])
            boards.append(board)
            self._connect_board(m, n, board, alive, ip_switch)
        for n in range(2):
            self._connect_link(m, n, boards)
        m.d.comb += [ip_switch.dead.eq(self.kill), ip_switch.force.eq(self.appoint)]
        return m

    def _connect_board(self, m, n, board, alive, ip_switch):
        """The networks, registers, pins and status of unit n."""
        wiring.connect(m, ip_switch.o_unit[n], board.i)
        back = ip_switch.i_unit[n]
        wiring.connect(m, board.o, back)
        wiring.connect(m, wiring.flipped(getattr(self, f"i_mmc_{n}")), board.i_mmc)
        wiring.connect(m, board.o_mmc, wiring.flipped(getattr(self, f"o_mmc_{n}")))
        m.d.comb += [
            back.payload.port[SIDE_UNIT_BIT].eq(n),     # in place of what connect() has assigned
            board.alive.eq(alive), board.unit.eq(n), board.power_up.eq(self.power_up[n]), board.role_init.eq(n == 0),
            board.detector.eq(self.detector[n]),
            self.active[n].eq(board.active), ip_switch.active[n].eq(board.active), ip_switch.epoch[n].eq(board.epoch),
            ip_switch.hold[n].eq(board.steer),
            *(getattr(self, f"{name}_{n}").eq(getattr(board, name)) for name in ("epoch", *PROBES, "activity")),
        ]

    def _connect_link(self, m, n, boards):
        """The direction of the sync link from unit n."""
        m.submodules[f"link_{n}"] = link = FaultyLink(self.params.data_width)
        tap = getattr(self, f"tap_sync_{n}")
        wiring.connect(m, boards[n].o_sync, link.i)
        wiring.connect(m, link.o, boards[1 - n].i_sync)
        m.d.comb += [
            link.control.eq(getattr(self, f"link_{n}")),
            tap.payload.eq(link.i.payload), tap.valid.eq(link.i.valid & link.i.ready),
        ]
