"""Transfers through a pair whose active unit dies in the middle."""
