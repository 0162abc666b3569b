"""Synthesis of an SPPS, or of one of its blocks, for ECP5: costs, frequencies and the slowest paths."""
