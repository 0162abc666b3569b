"""The simulation a command needs, built where it is not there yet."""
import click

__all__ = ["simulation"]


def simulation(preset, trace="", err=False):
    """(Simulation, SppsParams) of the pair of a preset, built if need be, which is said on stdout or, with err, on stderr."""
    from spps.gen import preset_params

    from ..backend.simulation import Simulation
    click.echo("generating Verilog and building the simulation", err=err)
    params = preset_params(preset)
    return Simulation.of(params, trace), params
