"""Small components that several blocks use."""
from .counters import Counters
from .read_share import ReadShare
from .skid_buffer import SkidBuffer
from .stream_arbiter import StreamArbiter
from .stream_demux import StreamDemux
from .stream_merge import StreamMerge
from .tick import TickCounter

__all__ = ["Counters", "ReadShare", "SkidBuffer", "StreamArbiter", "StreamDemux", "StreamMerge", "TickCounter"]
