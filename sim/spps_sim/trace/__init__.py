"""What cores and links did, as text and pictures."""
