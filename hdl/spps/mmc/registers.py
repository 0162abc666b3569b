"""The register map of one SPPS."""
from dataclasses import replace

from ..cluster.protocol_core import RUNAWAY_BITS
from ..echo.echo_responder import LIMIT_BITS
from ..failover import signature as failover
from ..layouts.config import CONFIG
from ..layouts.event import EventKind
from ..layouts.headers import VLAN_ID_BITS
from ..layouts.socket import SOCKET_POOLS
from ..lib import Counters
from ..neighbour import signature as neighbour
from .register_map import Register, RegisterField, RegisterMap

__all__ = ["IDENT", "VERSION", "CONTROL", "STATUS", "CONFIG_BASE", "STATUS_BASE", "MASK_BASE", "WINDOW_BASE",
           "COUNTER_BASE", "CORE_BASE", "KEY_BASE", "KEYS", "MORE",
           "core_status", "register_map"]

IDENT = 0x53505053      # "SPPS"
VERSION = 1
CONFIG_BASE = 0x100
STATUS_BASE = 0x200
MASK_BASE = 0x300
COUNTER_BASE = 0x400
WINDOW_BASE = 0x1000
KEY_BASE = 0x1100
CORE_BASE = 0x1200


def _registers(group, items, access="rw"):
    """Return the registers of a block that has a table of its configuration."""
    return tuple(Register(item.name, "pulse" if item.pulse else access, item.width, item.reset, item.text,
                          member=(group, item.name), most=item.most) for item in items)


#: what the host sets; times are clocks
CONTROL = (
    *_registers("failover", failover.CONFIG),
    Register("tick_cycles", reset=100000, doc="clocks per tick"),
    Register("secret_0", reset=0x243F6A88, doc="key of the flow hash, low word", secret=True),
    Register("secret_1", reset=0x85A308D3, doc="key of the flow hash, high word", secret=True),
    Register("ttl", width=8, reset=64, doc="time to live of emitted IPv4 headers"),
    Register("socket_low_watermark", width=4, reset=4,
             doc="sixteenths of a pool of socket memory that must be free for windows to grow"),
    Register("burst_blocks", width=5, reset=8, doc="16-byte blocks per SPI-4 burst"),
    Register("half_open_limit", width=16,
             doc="handshakes at a time; SYNs beyond are refused; 0: no limit; reset: 3/4 of `connections`"),
    Register("runaway", width=RUNAWAY_BITS, reset=20000,
             doc="instructions an event may take before the core traps; 0: no limit"),
    Register("watchdog", width=24, reset=200000,
             doc="clocks a core may hold events without ending one before it is fenced; 0: never"),
    Register("fence_lift", "pulse", doc="bit n written 1: core n gets events again as soon as it has none left"),
    Register("fault_stuck", doc="for tests; bit n: core n gets no instructions"),
    Register("core_enable", reset=0xFFFFFFFF, doc="bit n: core n gets events; what it has it ends"),
    Register("core_choice", width=1, doc="core for a flow that is at no core: 0 the least loaded, 1 the next in turn"),
    Register("refuse_silently", width=1,
             doc="answer to a SYN while every connection is in use and none in TIME-WAIT: 0 RST, 1 silence"),
    Register("tcp_flag_filter", width=1,
             doc="1: drop TCP segments without ACK, SYN and RST, and SYN with FIN or RST; 0: drop none for its flags"),
    Register("echo_limit", width=LIMIT_BITS, reset=4, doc="ICMP echo requests answered in a tick; 0: none"),
    *_registers("neighbour", neighbour.CONFIG),
)
#: further ones, behind the words of CONFIG: the first region is full when a unit has 16 ports
MORE = _registers("announcer", neighbour.ANNOUNCE)
#: keys, which can be written only
KEYS = _registers("failover", failover.KEYS, "wo")
#: what blocks report
STATUS = (
    *(Register(item.name, "ro", item.width, doc=item.text, member=("failover_status", item.name))
      for item in failover.STATUS),
    Register("now", "ro", doc="ticks"),
    Register("gate_level", "ro", 16, doc="outputs held by the ACK gate"),
    Register("gate_high_water", "ro", 16, doc="most outputs held since reset"),
    Register("free_pages", "ro", 16, doc="pages of the scratchpad"), Register("in_use", "ro", 16, doc="connections"),
    Register("timers_armed", "ro", 16, doc="connections with a deadline"),
    Register("half_open", "ro", 16, doc="connections in a handshake"),
    Register("neighbours_known", "ro", 16, doc="next hops whose MAC address is known"),
    Register("fenced_cores", "ro", doc="bit n: core n has stopped answering and gets no events"),
    *(Register(f"socket_free_{pool}", "ro", 16, doc="pages of this pool of socket memory")
      for pool in range(SOCKET_POOLS)),
    *(Register(f"socket_lowest_{pool}", "ro", 16, doc="fewest since this unit became active")
      for pool in range(SOCKET_POOLS)),
    Register("event_level", "ro", 16, doc="events queued"),
    Register("event_high_water", "ro", 16, doc="most events queued since reset"),
)
#: writing words into instruction memory, reading words of flowstate memory
WINDOW = (
    Register("imem_address", "window", 16, doc="where the next word goes; its address part grows with each word",
             fields=(RegisterField("address", 0, 12), RegisterField("cluster", 12, 4))),
    Register("imem_high", "window", 4, doc="bits 35:32 of the word"),
    Register("imem_low", "window", 32, doc="bits 31:0; the write stores the word"),
    Register("flowstate_address", "window", 23, doc="which word `flowstate_data` reads next; grows with each read",
             fields=(RegisterField("word", 0, 7), RegisterField("conn", 7, 16))),
    Register("flowstate_data", "fetch",
             doc="a word of flowstate memory (layouts.flowstate); 0 for a conn that does not exist"),
)


def vlan_table(params):
    """Return the registers of the table of VLAN tags, one per network, after MORE."""
    return [Register(f"vlan_{port}", width=VLAN_ID_BITS, member=("vlan", port), most=4094,
                     doc=f"VLAN identifier in frames from network {port}; 0: none")
            for port in range(params.ports)]


def core_status(params):
    """Return the registers of each core: the events it has not ended yet, and where it last trapped."""
    cores = range(params.total_cores)
    outstanding = (Register(f"outstanding_{core}", "ro", 8, doc="events this core has and has not ended")
                   for core in cores)
    trap = RegisterField("pc", 0, 16), RegisterField("code", 16, 8)
    traps = (Register(f"trap_{core}", "ro", 24, doc="last trap of this core", fields=trap) for core in cores)
    return (*outstanding, *traps)


def register_map(params, counters=(), status=()):
    """Return the RegisterMap of an SPPS.

    Parameters
    ----------
    params : SppsParams
        Sizes, of which some are registers.
    counters : list of (str, Counters)
        Blocks that count, in order.
    status : tuple of Register
        Further `ro` registers, after STATUS.

    Raises
    ------
    ValueError
        Two registers have one name, the counters of a block are not Counters, or they do not fit.
    """
    regs = RegisterMap()
    for register in (
        Register("ident", "const", reset=IDENT, doc="\"SPPS\""),
        Register("version", "const", reset=VERSION, doc="of this map"),
        Register("build", "const",
                 reset=params.data_width | params.clusters << 8 | params.cores << 12 | params.ports << 16,
                 fields=(RegisterField("data_width", 0, 8), RegisterField("clusters", 8, 4),
                         RegisterField("cores", 12, 4), RegisterField("ports", 16, 8))),
        Register("connections", "const", reset=params.connections, doc="connections that this unit can hold"),
        *CONTROL,
    ):
        if register.name == "half_open_limit":
            register = replace(register, reset=params.connections * 3 // 4)
        regs.add(register)
    regs.region(CONFIG_BASE)
    for index, word in enumerate(CONFIG):
        most = getattr(params, word.most) if isinstance(word.most, str) else word.most
        regs.add(Register(f"cfg_{word.name}", reset=min(word.reset, most), doc=word.doc,
                          member=("cfg", index), secret=word.secret, least=word.least, most=most))
    for register in (*MORE, *vlan_table(params)):
        regs.add(register)
    regs.region(STATUS_BASE)
    for register in (*STATUS, *status):
        regs.add(register)
    regs.region(MASK_BASE)
    kinds = tuple(RegisterField(kind.name.lower(), kind.value) for kind in EventKind)
    for core in range(params.total_cores):
        regs.add(Register(f"mask_{core}", width=16, reset=0xFFFF, doc=f"event types core {core} takes",
                          member=("masks", core), fields=kinds if core == 0 else ()))
    regs.region(COUNTER_BASE)
    for block, counters_of in counters:
        if not isinstance(counters_of, Counters):
            raise ValueError(f"{block}: counters are {type(counters_of).__name__}, must be Counters")
        for name in counters_of:
            regs.add(Register(f"{block}_{name}", "counter", doc=counters_of[name]))
    regs.region(WINDOW_BASE)
    for register in WINDOW:
        regs.add(register)
    regs.region(KEY_BASE)
    for register in KEYS:
        regs.add(register)
    regs.region(CORE_BASE)
    for register in core_status(params):
        regs.add(register)
    return regs
