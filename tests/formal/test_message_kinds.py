"""Which messages reach whom: the message bus judges kinds, and the blocks behind it rely on that.

The bus hands the socket memory controller only COPY, RELEASE, OUTPUT, SYNC and CONSUMED, whole and not interleaved,
whatever the clusters send. Given that, the socket memory controller passes only OUTPUT and SYNC on. Each claim is also
checked to fail on a mutated design.
"""
import inspect

import pytest
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal

from spps.bus import MessageBus, message_bus, message_router
from spps.layouts.message import BEAT, MessageHeader, MessageKind
from spps.lib import StreamArbiter
from spps.params import DUO
from spps.socket import Geometry, socket_commands
from tests.formal.prover import rtlil_of, verdict

STEPS = 12          # a message of four beats crosses the bus in eight clocks
SOCKET_KINDS = ("COPY", "RELEASE", "OUTPUT", "SYNC", "CONSUMED")
PASSED_KINDS = ("OUTPUT", "SYNC")


class Watch:
    """Follows one stream of beats: `first` when the beat on offer is a header, and its kind is one of `kinds`."""

    def __init__(self, m, stream, kinds, name):
        first = Signal(init=1, name=f"{name}_first")
        kind = Signal(MessageKind, name=f"{name}_kind")
        m.d.comb += kind.eq(MessageHeader(stream.payload.data).kind)
        with m.If(stream.valid & stream.ready):
            m.d.sync += first.eq(stream.payload.last)
        among = sum((kind == MessageKind[one] for one in kinds[1:]), kind == MessageKind[kinds[0]])
        self.holds = ~(stream.valid & first) | (among != 0)
        self.header = stream.valid & stream.ready & first


class BusContract(Elaboratable):
    """A bus of two clusters that send anything."""

    def __init__(self):
        self.bus = MessageBus(DUO)
        self.valid, self.last = Signal(2), Signal(2)
        self.data = [Signal(BEAT, name=f"data_{n}") for n in range(2)]
        self.ready = Signal()
        self.ports = [self.valid, self.last, *self.data, self.ready]

    def elaborate(self, platform):
        m = Module()
        m.submodules.bus = bus = self.bus
        for n, cluster in enumerate(bus.i_cluster):
            m.d.comb += [cluster.valid.eq(self.valid[n]), cluster.payload.data.eq(self.data[n]),
                         cluster.payload.last.eq(self.last[n])]
        m.d.comb += bus.o_socket.ready.eq(self.ready)
        watch = Watch(m, bus.o_socket, SOCKET_KINDS, "socket")
        m.d.comb += [Assert(watch.holds), Cover(watch.header)]
        return m


class SocketContract(Elaboratable):
    """The commands of the socket memory controller, in an environment that sends what the bus lets pass."""

    def __init__(self, commands):
        self.commands = commands
        self.valid, self.last, self.data = Signal(), Signal(), Signal(BEAT)
        self.ready, self.page, self.write = Signal(), Signal(), Signal()
        self.ports = [self.valid, self.last, self.data, self.ready, self.page, self.write]

    def elaborate(self, platform):
        m = Module()
        m.submodules.commands = dut = self.commands
        m.d.comb += [
            dut.i_cmd.valid.eq(self.valid), dut.i_cmd.payload.data.eq(self.data), dut.i_cmd.payload.last.eq(self.last),
            dut.o_cmd.ready.eq(self.ready), dut.o_page.ready.eq(self.page), dut.active.eq(1),
            dut.o_scratch.ready.eq(1), dut.o_write.ready.eq(1), dut.o_free.ready.eq(1), dut.written.eq(self.write),
        ]
        taken = Watch(m, dut.i_cmd, SOCKET_KINDS, "taken")
        passed = Watch(m, dut.o_cmd, PASSED_KINDS, "passed")
        m.d.comb += [Assume(taken.holds), Assert(passed.holds), Cover(passed.header)]
        # each message that is taken counts once
        owed = Signal(4)
        pulses = sum(dut.count[name] for name in dut.COUNTERS)
        m.d.sync += owed.eq(owed + taken.header - Mux(pulses != 0, 1, 0))
        m.d.comb += [Assert(pulses <= 1), Assert(owed <= 1), Assert((owed != 0) | (pulses == 0))]
        return m


def commands_of(changes=()):
    """SocketCommands with pieces of its source changed."""
    source = inspect.getsource(socket_commands)
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r}: not once in the source"
        source = source.replace(old, new)
    names = {"__name__": "mutated", "__package__": socket_commands.__package__}
    exec(compile(source, "socket_commands_mutated.py", "exec"), names)
    return names["SocketCommands"](DUO, Geometry(DUO))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ("bmc", "cover"))
def test_only_five_kinds_reach_the_socket_memory(tmp_path, mode):
    assert verdict(rtlil_of(BusContract()), tmp_path, mode, STEPS) == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("module, name, broken", (
    (message_router, "_SOCKET_KINDS", [MessageKind[kind] for kind in (*SOCKET_KINDS, "EVENT")]),
    (message_bus, "StreamArbiter", lambda shape, n, packets=True: StreamArbiter(shape, n, packets=False)),
))
def test_mutated_bus_is_caught(tmp_path, monkeypatch, module, name, broken):
    monkeypatch.setattr(module, name, broken)
    assert verdict(rtlil_of(BusContract()), tmp_path, "bmc", STEPS) == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ("bmc", "cover"))
def test_only_output_and_sync_leave_the_socket_memory(tmp_path, mode):
    assert verdict(rtlil_of(SocketContract(commands_of())), tmp_path, mode, STEPS) == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("old, new", (
    ("stays.eq(header.kind == MessageKind.CONSUMED)", "stays.eq(0)"),               # CONSUMED leaves
    ("m.d.comb += count.consumed.eq(1)", "pass"),
    ("m.d.comb += count.copies.eq(1)\n            with m.Elif", "pass\n            with m.Elif"),
))
def test_mutated_socket_commands_are_caught(tmp_path, old, new):
    assert verdict(rtlil_of(SocketContract(commands_of(((old, new),)))), tmp_path, "bmc", STEPS) == "FAIL"
