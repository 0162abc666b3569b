"""Paths, Yosys and Verilog: what turns a component into files."""
