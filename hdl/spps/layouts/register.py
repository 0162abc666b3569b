"""Register access, and words for instruction memory. Source: patent F7, MMC 772."""
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["Instruction", "InstructionWrite", "RegisterRequest"]

Instruction = unsigned(36)


class RegisterRequest(data.Struct):
    """MMC access: byte address of a 32-bit register."""

    address: unsigned(16)
    data: unsigned(32)
    write: unsigned(1)


class InstructionWrite(data.Struct):
    """One word to be written into the instruction memories of a cluster."""

    cluster: unsigned(4)
    address: unsigned(12)
    data: Instruction
