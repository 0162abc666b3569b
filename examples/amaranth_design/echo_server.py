"""An SPPS inside a design of one's own: an echo server that needs no host.

    python examples/amaranth_design/echo_server.py verilog echo_server.v
    python examples/amaranth_design/echo_server.py simulate

`EchoServer` holds one SPPS of the smallest preset and writes its registers after reset, so that it answers on two
addresses:
TCP port 7 echoes, port 9 discards. SPI-4 goes to the outside, the sync link is left open: there is no standby, and the
registers `policy` and `grant` say so. `simulate` sends an ARP request into port 0 and waits for the answer.
"""
import sys

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from spps import PRESETS, Spps, register_addresses
from spps.layouts.headers import ArpOperation, EtherType
from spps.layouts.packet import spi4_signature
from spps.tools.verilog import to_verilog

PARAMS = PRESETS["tiny"]
ADDRESSES = (0x0A030001, 0x0A040001)        # 10.3.0.1 on port 0, 10.4.0.1 on port 1
REGISTERS = {
    "cfg_mode": 0, "cfg_vip_0": ADDRESSES[0], "cfg_vip_1": ADDRESSES[1],
    "hb_interval": 0, "policy": 1, "grant": 1,          # no standby: go on unprotected
}


class EchoServer(wiring.Component):
    """An SPPS in endpoint mode that configures itself.

    Members
    -------
    i_spi4, o_spi4 : SPI-4 words of one clock (spps.layouts.packet.spi4_signature)
        From and to the PHY.
    ready : Out(1)
        The registers are written.
    """

    i_spi4: In(spi4_signature(PARAMS.data_width))
    o_spi4: Out(spi4_signature(PARAMS.data_width))
    ready: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.spps = spps = Spps(PARAMS)
        wiring.connect(m, wiring.flipped(self.i_spi4), spps.i_spi4)
        wiring.connect(m, spps.o_spi4, wiring.flipped(self.o_spi4))

        known = register_addresses(PARAMS)
        writes = [(known[name], value) for name, value in REGISTERS.items()]
        address, value = (Array(Const(write[n], 32) for write in writes) for n in (0, 1))
        index = Signal(range(len(writes) + 1))
        m.d.comb += [
            self.ready.eq(index == len(writes)),
            spps.enable.eq(1), spps.role_init.eq(1), spps.o_sync.ready.eq(1), spps.o_mmc.ready.eq(1),
            spps.i_mmc.valid.eq(~self.ready), spps.i_mmc.payload.write.eq(1),
            spps.i_mmc.payload.address.eq(address[index]), spps.i_mmc.payload.data.eq(value[index]),
        ]
        m.d.sync += index.eq(Mux(spps.i_mmc.valid & spps.i_mmc.ready, index + 1, index))
        return m


HOST = bytes.fromhex("020000000010")


def arp_request(target):
    """A request for the address `target`, as a host on its network sends it."""
    return (b"\xff" * 6 + HOST + EtherType.ARP.to_bytes(2, "big") + bytes.fromhex("0001080006040001") + HOST
            + (target + 1).to_bytes(4, "big") + bytes(6) + target.to_bytes(4, "big")).ljust(60, b"\0")


def simulate(limit=8000):
    """Send an ARP request, print the answer; returns the clocks it took. Raises RuntimeError when none comes."""
    from spps_sim.model.spi4 import Receiver, Transmitter, bursts_of
    dut, transmitter, receiver = EchoServer(), Transmitter(), Receiver(PARAMS.ports, PARAMS.max_frame)
    lanes, found = PARAMS.data_width // 16, []

    async def phy(ctx):
        """Both directions of the SPI-4 link, word by word."""
        for clock in range(limit):
            words = [transmitter.next() for _ in range(lanes)]
            ctx.set(dut.i_spi4.payload.data, [word for word, _ in words])
            ctx.set(dut.i_spi4.payload.ctl, sum(control << lane for lane, (_, control) in enumerate(words)))
            ctx.set(dut.i_spi4.valid, 1)
            if ctx.get(dut.ready) and not clock % 1000:
                transmitter.queue.extend(bursts_of(arp_request(ADDRESSES[0]), 0, 64))
            if ctx.get(dut.o_spi4.valid):
                out, control = ctx.get(dut.o_spi4.payload.data), ctx.get(dut.o_spi4.payload.ctl)
                for lane in range(lanes):
                    receiver.put(out[lane], control >> lane & 1)
            for octets, _ in receiver.packets[0]:
                if octets[:6] == HOST and octets[20:22] == ArpOperation.REPLY.to_bytes(2, "big"):   # no announcement
                    found.append((clock, octets))
                    return
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(phy)
    simulator.run()
    if not found:
        raise RuntimeError(f"no ARP reply in {limit} clocks")
    clock, octets = found[0]
    print(f"clock {clock}: {'.'.join(map(str, octets[28:32]))} is at {octets[22:28].hex(':')}")
    return clock


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["verilog", path]:
            print(to_verilog(EchoServer(), "echo_server", path))
        case ["simulate"]:
            simulate()
        case _:
            sys.exit(__doc__)
