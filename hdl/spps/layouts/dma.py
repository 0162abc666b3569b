"""Commands of the DMA between flowstate memory and workspaces, and the beats that it moves.

Source: patent §III.B, §VI.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .message import BEAT

__all__ = ["ClusterDma", "DmaCommand", "DmaOp", "FlowstateBeat", "FlowstateWord", "FlowstateWrite"]


class DmaOp(enum.Enum, shape=2):
    """What the DMA of a cluster does with a workspace."""

    LOAD = 0        # flowstate memory -> workspace, clears its dirty lines
    WRITE_BACK = 1  # dirty lines of the workspace -> flowstate memory
    CLEAR = 2       # a new connection: zeros into the workspace and into flowstate memory


class DmaCommand(data.Struct):
    """One operation of the DMA: on this workspace of a core, for this connection."""

    op: DmaOp
    core: unsigned(4)
    workspace: unsigned(4)
    conn: unsigned(16)


class ClusterDma(data.Struct):
    """DmaCommand between the director and the DMA of one of the clusters."""

    command: DmaCommand
    cluster: unsigned(4)


class FlowstateBeat(data.Struct):
    """Answer to a flowstate read: 64 beats in order, last on the 64th."""

    data: unsigned(BEAT)
    last: unsigned(1)


class FlowstateWord(data.Struct):
    """Place of one word in flowstate memory, as the host asks for it."""

    word: unsigned(7)       # 32-bit word inside the flowstate
    conn: unsigned(16)


class FlowstateWrite(data.Struct):
    """One beat to be written into flowstate memory."""

    conn: unsigned(16)
    beat: unsigned(6)       # 64-bit beat inside the flowstate
    data: unsigned(BEAT)
