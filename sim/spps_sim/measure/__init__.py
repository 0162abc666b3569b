"""Figures of the design: clocks per event, from an event to its first instruction."""
