"""Simulation of SPPS: backends, networks, peers, reference models, checkers, and the commands that use them."""
