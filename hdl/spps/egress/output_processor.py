"""Output processor: from an OUTPUT message to a frame on a SPI-4 port.

Source: patent §IV, F2 242/244, F7 770.
"""
from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..layouts.message import SocketRead, beat_signature
from ..layouts.packet import packet_signature
from ..lib.skid_buffer import SkidBuffer
from .emit_gate import EmitGate
from .frame_assembler import FrameAssembler, assembled_layout
from .output_receiver import OutputReceiver
from .payload_fetcher import PayloadFetcher, payload_words

__all__ = ["OutputProcessor"]


class OutputProcessor(wiring.Component):
    """Builds Ethernet/IPv4/TCP segments and ARP replies, with payload from socket memory and all checksums.

    Parameters: params.
    Members:
        i_cmd: OUTPUT messages; o_read, i_data: socket memory; o: frames, `port` is the body's iface, never `err`.
        mac: own address, source of every frame. ttl: of IPv4 headers.
        emit_enable: sampled once per frame in the clock in which its first word enters the register of `o`.
        count: COUNTERS; frames + suppressed + drops = messages.
    Latency: without payload about 18 clocks from the first beat; the payload is stored before the frame leaves.
    Throughput: one word per clock; the next payload is read while a frame leaves.
    Backpressure: two frames are held, then `i_cmd` waits; socket answers are always taken.
    Drop: see OutputReceiver (bad messages), PayloadFetcher (`read_error`), EmitGate (`suppressed`): always whole frames.
    Reset: idle; identification 0.
    """

    COUNTERS = EmitGate.COUNTERS + PayloadFetcher.COUNTERS + OutputReceiver.COUNTERS

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_read": Out(stream.Signature(SocketRead)),
            "i_data": In(packet_signature(params.data_width)),
            "o": Out(packet_signature(params.data_width)),
            "mac": In(48),
            "ttl": In(8, init=64),
            "emit_enable": In(1),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.receiver = receiver = OutputReceiver(params)
        m.submodules.fetcher = fetcher = PayloadFetcher(params)
        m.submodules.assembler = assembler = FrameAssembler(params)
        m.submodules.skid = skid = SkidBuffer(assembled_layout(params.data_width))
        m.submodules.gate = gate = EmitGate(params)
        # two buffers; the halves take turns, so a row is never written while it is read
        m.submodules.buffers = buffers = Memory(shape=params.data_width, depth=2 * payload_words(params), init=[],
                                                attrs={"no_rw_check": 1})
        write, read = buffers.write_port(), buffers.read_port()

        wiring.connect(m, wiring.flipped(self.i_cmd), receiver.i_cmd)
        wiring.connect(m, receiver.o, fetcher.i)
        wiring.connect(m, fetcher.o_read, wiring.flipped(self.o_read))
        wiring.connect(m, wiring.flipped(self.i_data), fetcher.i_data)
        wiring.connect(m, fetcher.o, assembler.i)
        wiring.connect(m, assembler.o, skid.i)
        wiring.connect(m, skid.o, gate.i)
        wiring.connect(m, gate.o, wiring.flipped(self.o))
        m.d.comb += [
            write.en.eq(fetcher.w_en), write.addr.eq(fetcher.w_addr), write.data.eq(fetcher.w_data),
            read.en.eq(assembler.r_en), read.addr.eq(assembler.r_addr), assembler.r_data.eq(read.data),
            fetcher.ttl.eq(self.ttl),
            assembler.mac.eq(self.mac),
            gate.enable.eq(self.emit_enable),
            self.count.eq(Cat(gate.count, fetcher.count, receiver.count)),
        ]
        return m
