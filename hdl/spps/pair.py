"""Two SPPS that protect one another, behind an IP switch, as one top."""
from amaranth.hdl import (
    ClockSignal,
    Const,
    Instance,
    Module,
    ResetInserter,
    ResetSignal,
    Value,
    unsigned,
)
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .failover import FaultyLink, IpSwitch, LinkControl
from .layouts.activity import activity_layout
from .layouts.packet import packet_layout, packet_signature
from .layouts.register import RegisterRequest
from .params import TINY, checked_params
from .spi4 import Spi4Sink, Spi4Source
from .top import PROBES, spps_signature

__all__ = ["SppsPair", "UnitInstance", "SIDE_UNIT_BIT"]

#: bit of `port` in frames on `o` that tells which unit emitted them
SIDE_UNIT_BIT = 4
SATISFIED = 2
MAC_BURST_BLOCKS = 8        # 128-byte bursts from the devices that stand for the MACs


class UnitInstance(wiring.Component):
    """An instance of the Verilog module `spps`, so that a pair is elaborated as one unit and not as two.

    Parameters, members, timing, drop and reset are those of Spps; besides, `power_up` resets it alone.
    """

    def __init__(self, params, *, activity=False):
        self.params = params
        self._ports = spps_signature(params, activity)
        super().__init__({**self._ports.members, "power_up": In(1)})

    def elaborate(self, platform):
        ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal() | self.power_up}
        for path, member, value in self._ports.flatten(self):
            value = Value.cast(value)
            if not isinstance(value, Const):        # `ready` of a stream that is always ready
                ports[("i_" if member.flow == In else "o_") + "__".join(map(str, path))] = value
        m = Module()
        m.submodules.spps = Instance("spps", **ports)
        return m


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

        units, running = [], []
        for n in range(2):
            m.submodules[f"unit_{n}"] = unit = UnitInstance(params, activity=True)
            alive = ~(self.kill[n] | self.freeze[n])
            m.d.comb += [unit.enable.eq(alive), unit.unit.eq(n), unit.power_up.eq(self.power_up[n])]
            units.append(unit)
            running.append(alive)
            self.connect_side(m, n, unit, alive, ip_switch)
        for n in range(2):
            self.connect_link(m, n, units, running)
        m.d.comb += [ip_switch.dead.eq(self.kill), ip_switch.force.eq(self.appoint)]
        return m

    def connect_side(self, m, n, unit, alive, ip_switch):
        """The MAC side of unit n: SPI-4 both ways, registers, status."""
        params = self.params
        source, sink = Spi4Source(params), Spi4Sink(params)
        m.submodules[f"phy_source_{n}"] = ResetInserter(self.power_up[n])(source)
        m.submodules[f"phy_sink_{n}"] = ResetInserter(self.power_up[n])(sink)
        wiring.connect(m, ip_switch.o_unit[n], source.i)
        back = ip_switch.i_unit[n]
        m.d.comb += [back.payload.eq(sink.o.payload), back.valid.eq(sink.o.valid), sink.o.ready.eq(back.ready),
                     back.payload.port[SIDE_UNIT_BIT].eq(n)]
        i_mmc, o_mmc = getattr(self, f"i_mmc_{n}"), getattr(self, f"o_mmc_{n}")
        m.d.comb += [
            unit.i_spi4.payload.eq(source.o.payload), unit.i_spi4.valid.eq(source.o.valid),
            sink.i.payload.eq(unit.o_spi4.payload), sink.i.valid.eq(unit.o_spi4.valid & alive),
            unit.status_i.eq(sink.status), source.burst_blocks.eq(MAC_BURST_BLOCKS),
            i_mmc.ready.eq(unit.i_mmc.ready & alive), unit.i_mmc.valid.eq(i_mmc.valid & alive),
            unit.i_mmc.payload.eq(i_mmc.payload), o_mmc.payload.eq(unit.o_mmc.payload),
            o_mmc.valid.eq(unit.o_mmc.valid & alive), unit.o_mmc.ready.eq(o_mmc.ready & alive),
            unit.detector.eq(self.detector[n]), unit.role_init.eq(n == 0),
            self.active[n].eq(unit.active), ip_switch.active[n].eq(unit.active), ip_switch.epoch[n].eq(unit.epoch),
            getattr(self, f"epoch_{n}").eq(unit.epoch),
        ]
        for port in range(params.ports):
            with m.If(alive):
                m.d.comb += source.status[port].eq(unit.status_o[port])
            with m.Else():
                m.d.comb += source.status[port].eq(SATISFIED)
        for name in (*PROBES, "activity"):
            m.d.comb += getattr(self, f"{name}_{n}").eq(getattr(unit, name))

    def connect_link(self, m, n, units, running):
        """The direction of the sync link from unit n; a dead receiver swallows, a dead sender is silent."""
        m.submodules[f"link_{n}"] = link = FaultyLink(self.params.data_width)
        sender, receiver, tap = units[n], units[1 - n], getattr(self, f"tap_sync_{n}")
        m.d.comb += [
            link.control.eq(getattr(self, f"link_{n}")),
            link.i.payload.eq(sender.o_sync.payload), link.i.valid.eq(sender.o_sync.valid & running[n]),
            sender.o_sync.ready.eq(link.i.ready & running[n]),
            receiver.i_sync.payload.eq(link.o.payload), receiver.i_sync.valid.eq(link.o.valid & running[1 - n]),
            link.o.ready.eq(receiver.i_sync.ready | ~running[1 - n]),
            tap.payload.eq(link.i.payload), tap.valid.eq(link.i.valid & link.i.ready),
        ]
