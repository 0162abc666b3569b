"""Every size of an SPPS in one frozen, validated object.

Source: architecture rule "one frozen, validated SppsParams with presets".
"""
import re
from dataclasses import dataclass, fields

__all__ = ["SppsParams", "TINY", "GBE", "OC192", "DUO", "LIVE", "PRESETS", "checked_params"]


def _power_of_two(value):
    return value > 0 and value & (value - 1) == 0


def _four_numbers(value):
    return type(value) is tuple and len(value) == 4 and all(type(number) is int for number in value)


@dataclass(frozen=True)
class SppsParams:
    """Sizes of one SPPS.

    Parameters
    ----------
    name : str
        Shown in messages and file names.
    data_width : int, bits
        Packet datapath: 32, 64 or 128.
    ports : int
        SPI-4 ports: 0 is the client network, 1 the server network; the others are carried but have no use yet.
    connections : int
        Local flow ids; each has two legs with a flow key each. A power of two.
    quick_entries : int
        Keys of the lookup's quick list, all compared at once. A power of two.
    clusters, cores : int
        Protocol clusters, and protocol cores in each.
    workspaces : int
        Flowstates that a core holds at once. A power of two.
    event_slots : int
        Events that a core queues. A power of two.
    imem_words : int, 36-bit words
        Instruction memory of a cluster. A power of two.
    event_queue : int
        Events that wait for the lookup. A power of two.
    scratch_pages, scratch_page_bytes : int
        Payload scratchpad: number and size of its pages.
    socket_bytes : int
        Largest receive window of a direction. A power of two.
    page_bytes, pool_pages : tuple or list of four int
        Page size and number of pages of the pools of socket memory; a pool without pages does not exist.
        Each direction of a connection that has carried data keeps a page: fewer than twice the connections, and the
        last ones make no progress.
    socket_memory : str
        Where they are: "onchip" or "axi4" (external memory).
    neighbours : int
        Next hops whose MAC addresses are kept. A power of two.
    max_frame : int, bytes
        Longest frame without FCS.
    replay_records : int
        Unconfirmed sync records that are kept for retransmission. A power of two.
    gate_depth : int
        Outputs that the ACK gate can hold. A power of two.

    Raises
    ------
    ValueError
        Names the value and the limit.
    """

    name: str = "custom"
    data_width: int = 64
    ports: int = 3
    connections: int = 16
    quick_entries: int = 4
    clusters: int = 1
    cores: int = 2
    workspaces: int = 4
    event_slots: int = 8
    imem_words: int = 4096
    event_queue: int = 64
    scratch_pages: int = 256
    scratch_page_bytes: int = 256
    socket_bytes: int = 8192
    page_bytes: tuple = (256, 512, 1024, 2048)
    pool_pages: tuple = (512, 64, 32, 16)
    socket_memory: str = "onchip"
    neighbours: int = 16
    max_frame: int = 1518
    replay_records: int = 64
    gate_depth: int = 64

    def __post_init__(self):
        def need(ok, field, limit):
            if not ok:
                raise ValueError(f"{field}={getattr(self, field)!r}: must be {limit}")

        need(isinstance(self.name, str) and re.fullmatch(r"\w[\w.-]*", self.name), "name",
             "a letter or digit, then letters, digits, _ . or -: files are named by it")
        need(type(self.data_width) is int and self.data_width in (32, 64, 128), "data_width", "32, 64 or 128")
        for field, low, high in (
            ("ports", 2, 16), ("clusters", 1, 4), ("cores", 1, 8), ("max_frame", 576, 9216),
        ):
            value = getattr(self, field)
            need(type(value) is int and low <= value <= high, field, f"an integer from {low} to {high}")
        for field, low, high in (
            ("connections", 2, 32768), ("quick_entries", 2, 16), ("workspaces", 2, 8), ("event_slots", 2, 16),
            ("imem_words", 256, 4096),
            ("event_queue", 4, 1024), ("scratch_pages", 8, 4096), ("scratch_page_bytes", 64, 2048),
            ("socket_bytes", 2048, 1 << 20), ("replay_records", 8, 1024), ("gate_depth", 8, 1024),
            ("neighbours", 16, 4096),
        ):
            value = getattr(self, field)
            need(type(value) is int and _power_of_two(value) and low <= value <= high, field,
                 f"a power of two from {low} to {high}")
        need(self.scratch_pages * self.scratch_page_bytes >= 2 * self.max_frame, "scratch_pages",
             "large enough for two frames of max_frame")
        need(self.socket_memory in ("onchip", "axi4"), "socket_memory", "onchip or axi4")
        for field in ("page_bytes", "pool_pages"):      # also a list, as JSON has it
            if isinstance(getattr(self, field), list):
                object.__setattr__(self, field, tuple(getattr(self, field)))
        largest = min(2048, self.socket_bytes // 2)
        need(_four_numbers(self.page_bytes)
             and all(_power_of_two(size) and 64 <= size <= largest for size in self.page_bytes), "page_bytes",
             "four powers of two from 64 to 2048, at most half of socket_bytes")
        need(_four_numbers(self.pool_pages) and any(self.pool_pages)
             and all(0 <= count <= 65535 for count in self.pool_pages), "pool_pages",
             "four numbers up to 65535, not all 0")
        for size, count in zip(self.page_bytes, self.pool_pages):
            low = 2 * self.reserve_pages(size)
            need(count == 0 or count >= low, "pool_pages",
                 f"0 or at least {low} pages of {size} bytes: twice what the cores may be storing")

    @property
    def data_bytes(self):
        """Bytes per datapath word."""
        return self.data_width // 8

    @property
    def max_payload(self):
        """Payload bytes of the longest frame that can be forwarded."""
        return self.max_frame - 54

    def reserve_pages(self, size):
        """Pages of `size` bytes that copies under way may still take.

        Two copies per core, each with a page begun and one ended in the middle.
        """
        return 2 * self.total_cores * (-(-self.max_payload // size) + 1)

    @property
    def spi4_lanes(self):
        """16-bit SPI-4 words per clock."""
        return self.data_width // 16

    @property
    def total_cores(self):
        return self.clusters * self.cores

    def replace(self, **changes):
        """A copy with some fields changed, validated again."""
        return SppsParams(**{**{f.name: getattr(self, f.name) for f in fields(self)}, **changes})


TINY = SppsParams(name="tiny")
# 32 bits carry what two 1 GbE networks send (2 Gb/s) from 63 MHz on; 64 would cost 2,100 LUT4 more.
GBE = SppsParams(name="gbe", data_width=32, connections=8, cores=2, socket_bytes=4096, scratch_pages=128,
                 pool_pages=(256, 0, 0, 0))
# Socket memory and scratchpad take what the 208 block RAM of an LFE5UM5G-85F leave.
OC192 = SppsParams(name="oc192", data_width=128, connections=16, clusters=2, cores=5, scratch_pages=128,
                   pool_pages=(512, 0, 0, 0))
# Two clusters of one core and more connections: what reprogramming and the loss of a core need, and nothing else.
DUO = TINY.replace(name="duo", clusters=2, cores=1, connections=32)
# What `spps live` and `spps demo` simulate. 256 idle connections keep 512 pages of the first pool. With 1024 pages 256
# connections that send at once come to a stand, with 2048 they go on; more would make the build longer.
LIVE = TINY.replace(name="live", connections=256, pool_pages=(2048, 64, 32, 16))
PRESETS = {p.name: p for p in (TINY, GBE, OC192, DUO, LIVE)}


def checked_params(params):
    """Return `params`. Raises TypeError when they are no SppsParams."""
    if not isinstance(params, SppsParams):
        raise TypeError(f"params={params!r}: must be SppsParams, as PRESETS[\"gbe\"]")
    return params
