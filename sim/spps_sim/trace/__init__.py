"""From what cores and wires did to text and pictures."""
