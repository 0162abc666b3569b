"""Commands of `spps` that need the simulation; `spps.cli` finds them through entry points."""
