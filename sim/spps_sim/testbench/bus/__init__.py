"""Drivers and monitors of cocotb for streams, packets, counters and SPI-4."""
