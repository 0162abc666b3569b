"""Microcode: instruction set, assembler, simulator. RTL imports `ucode.isa` alone, so nothing is imported here."""
