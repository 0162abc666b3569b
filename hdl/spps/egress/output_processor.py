"""Output processor: from an OUTPUT message to a frame on a SPI-4 port.

Source: patent §IV, F2 242/244, F7 770.
"""
from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..layouts.message import beat_signature
from ..layouts.neighbour import HopAnswer, HopQuery
from ..layouts.packet import packet_signature
from ..layouts.socket import SocketRead
from ..lib.skid_buffer import SkidBuffer
from .emit_gate import EmitGate
from .frame import STORE_BITS, STORE_ROWS, STORE_SLOTS, OutputQueue
from .frame_assembler import FrameAssembler, assembled_layout
from .frame_loader import FrameLoader
from .output_queues import OutputQueues
from .output_receiver import OutputReceiver
from .payload_fetcher import PayloadFetcher, payload_words
from .side_merge import SideMerge

__all__ = ["OutputProcessor"]


class OutputProcessor(wiring.Component):
    """Builds Ethernet/IPv4/TCP segments and ARP packets, with payload from socket memory and all checksums.

    Outputs of one identity (iface, addresses, ports) leave as they came; those with payload leave as they came. While a
    payload is being fetched, outputs without payload of other identities pass; one is stopped only behind
    ORDERED_OUTPUTS others that must wait.

    Parameters
    ----------
    params : SppsParams
        data_width, ports, max_frame.

    Members
    -------
    i_cmd : In(stream of beat)
        OUTPUT messages, no others: the bus router judges kinds, and SYNC ends in the failover unit.
    o_read : Out(stream of SocketRead)
        Payload wanted from socket memory.
    i_data : In(stream of packet)
        One answer per read.
    i_echo : In(stream of packet)
        ICMP echo replies, whole frames. They leave between two frames of outputs.
    i_announce : In(stream of packet)
        Gratuitous ARP, whole frames. They leave before the next frame of an output.
    o_hop : Out(stream of HopQuery)
        Destination of each segment.
    i_hop : In(stream of HopAnswer)
        MAC address of its next hop.
    o : Out(stream of packet)
        Frames; `port` is the body's iface, `err` is never set.
    mac : In(48)
        Own address, source of every frame.
    ttl : In(8)
        Time to live of IPv4 headers.
    emit_enable : In(1)
        Sampled once per frame, in the clock in which its first word enters the register of `o`.
    count : Out(COUNTERS.layout)
        One pulse per occurrence; frames + suppressed + unresolved + read_error + malformed + bad_port + too_long =
        messages, echoes + echoes_suppressed = frames of `i_echo`, announcements + announcements_suppressed = frames of
        `i_announce`.

    Timing
    ------
    Latency without payload about 28 clocks from the first beat; the payload is stored before the frame leaves.
    Throughput 1 word per clock; the next payload is read while a frame leaves. ORDERED_OUTPUTS and CONTROL_BUFFERS
    outputs are held, then `i_cmd` waits; answers of socket memory are always taken.

    Drop
    ----
    See OutputReceiver (bad messages), PayloadFetcher (`read_error`), FrameLoader (`unresolved`), EmitGate
    (`suppressed`): always whole frames.

    Reset
    -----
    Idle; identification 0.

    Source
    ------
    Patent §IV, F2 242/244, F7 770.
    """

    COUNTERS = EmitGate.COUNTERS | FrameLoader.COUNTERS | PayloadFetcher.COUNTERS | OutputReceiver.COUNTERS

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_read": Out(stream.Signature(SocketRead)),
            "i_data": In(packet_signature(params.data_width)),
            "i_echo": In(packet_signature(params.data_width)),
            "i_announce": In(packet_signature(params.data_width)),
            "o_hop": Out(stream.Signature(HopQuery)),
            "i_hop": In(stream.Signature(HopAnswer)),
            "o": Out(packet_signature(params.data_width)),
            "mac": In(48),
            "ttl": In(8, init=64),
            "emit_enable": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.receiver = receiver = OutputReceiver(params)
        m.submodules.queues = queues = OutputQueues()
        m.submodules.fetcher = fetcher = PayloadFetcher(params)
        m.submodules.loader = loader = FrameLoader()
        m.submodules.assembler = assembler = FrameAssembler(params)
        m.submodules.merge = merge = SideMerge(params)
        m.submodules.skid = skid = SkidBuffer(assembled_layout(params.data_width))
        m.submodules.gate = gate = EmitGate(params)
        # two buffers; the halves take turns, so a row is never written while it is read
        m.submodules.buffers = buffers = Memory(shape=params.data_width, depth=2 * payload_words(params), init=[],
                                                attrs={"no_rw_check": 1})
        write, read = buffers.write_port(), buffers.read_port()
        # a slot is never read before it was offered, nor written before it was left
        m.submodules.store = store = Memory(shape=STORE_BITS, depth=STORE_SLOTS * STORE_ROWS, init=[],
                                            attrs={"no_rw_check": 1})
        keep, load = store.write_port(), store.read_port()

        wiring.connect(m, wiring.flipped(self.i_cmd), receiver.i_cmd)
        wiring.connect(m, receiver.o, queues.i)
        wiring.connect(m, fetcher.o_read, wiring.flipped(self.o_read))
        wiring.connect(m, wiring.flipped(self.i_data), fetcher.i_data)
        wiring.connect(m, loader.o_hop, wiring.flipped(self.o_hop))
        wiring.connect(m, wiring.flipped(self.i_hop), loader.i_hop)
        wiring.connect(m, loader.o, assembler.i)
        wiring.connect(m, assembler.o, merge.i)
        wiring.connect(m, wiring.flipped(self.i_echo), merge.i_echo)
        wiring.connect(m, wiring.flipped(self.i_announce), merge.i_announce)
        wiring.connect(m, merge.o, skid.i)
        wiring.connect(m, skid.o, gate.i)
        wiring.connect(m, gate.o, wiring.flipped(self.o))
        m.d.comb += [
            keep.en.eq(receiver.w_en), keep.addr.eq(Cat(receiver.w_row, queues.slot)), keep.data.eq(receiver.w_data),
            # the fetcher reads first: it needs three rows and lets memory work meanwhile
            load.en.eq(fetcher.r_en | loader.r_en), loader.r_stall.eq(fetcher.r_en),
            load.addr.eq(Cat(Mux(fetcher.r_en, fetcher.r_row, loader.r_row), queues.r_slot)),
            queues.r_queue.eq(Mux(fetcher.r_en, OutputQueue.FETCH, loader.r_queue)),
            fetcher.r_data.eq(load.data), loader.r_data.eq(load.data),
            fetcher.wanted.eq(queues.fetch), queues.fetched.eq(fetcher.fetched),
            loader.ordered.eq(queues.ordered), loader.complete.eq(queues.complete),
            loader.control.eq(queues.control), loader.control_older.eq(queues.control_older),
            queues.pop_ordered.eq(loader.pop_ordered), queues.pop_control.eq(loader.pop_control),
            loader.sum.eq(fetcher.sum), loader.buffer.eq(fetcher.buffer), loader.failed.eq(fetcher.failed),
            fetcher.taken.eq(loader.taken),
            write.en.eq(fetcher.w_en), write.addr.eq(fetcher.w_addr), write.data.eq(fetcher.w_data),
            read.en.eq(assembler.r_en), read.addr.eq(assembler.r_addr), assembler.r_data.eq(read.data),
            loader.ttl.eq(self.ttl),
            assembler.mac.eq(self.mac),
            gate.enable.eq(self.emit_enable),
            self.count.eq(Cat(gate.count, loader.count, fetcher.count, receiver.count)),
        ]
        return m
