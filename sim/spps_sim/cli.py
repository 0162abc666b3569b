"""Command line `spps`."""
import click


@click.group()
def main():
    """SPPS: connections that survive the death of their proxy."""
