"""A running pair under control of a person."""
