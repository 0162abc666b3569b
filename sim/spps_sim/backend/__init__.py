"""A pair of SPPS under simulation: the interface every backend offers, the RTL through Verilator, and a pair without RTL."""
