"""A pair under simulation: the interface of every backend, the RTL through Verilator, a pair without RTL."""
