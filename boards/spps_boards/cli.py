"""`spps synth`: cost and frequency on ECP5."""
import click

from spps.tools.options import SeedList, checked_output, out_option
from spps.tools.paths import BUILD

from .block import BLOCKS, block_table, synthesize_block
from .synth import DEVICES, readme, synthesize, table, update_readme

__all__ = ["synth"]


@click.command()
@click.option("--preset", type=click.Choice(list(DEVICES)), default="gbe", show_default=True,
              help="Sizes of the unit; each has its device.")
@click.option("--block", type=click.Choice(sorted(BLOCKS)),
              help="This block alone, with the sizes of the preset, instead of the whole.")
@click.option("--seeds", type=SeedList(), default="1", show_default=True,
              help="Placement seeds; the design is routed once for each.")
@click.option("--route/--no-route", default=True, show_default=True, help="Place and route, or stop after synthesis.")
@click.option("--freq", type=click.IntRange(1, 1000),
              help="Frequency asked of the router, MHz  [default: 100; 140 with --block]")
@out_option("synth/PRESET", "Folder for netlists, logs and summary.json; synth/BLOCK with --block.")
@click.option("--update-readme", "update", is_flag=True,
              help="Also put the table into boards/README.md of the checkout.")
def synth(preset, block, seeds, route, freq, out, update):
    """Cost and frequency of one unit, or of a block, on ECP5.

    Prints a table of LUT4, flip-flops, block RAM and frequency per block. The whole takes minutes to an hour.
    """
    if update:
        readme()
    out = out or checked_output(BUILD / "synth" / (block or preset))
    click.echo(f"synthesizing {block or 'one unit'} of preset {preset} in {out}", err=True)
    if block:
        summary = synthesize_block(block, preset, DEVICES[preset], out, seeds=seeds, route=route,
                                   target_mhz=freq or 140)
        text = block_table(block, preset, summary)
    else:
        text = table(preset, synthesize(preset, out, seeds=seeds, route=route, target_mhz=freq or 100))
    click.echo(text)
    if update:
        update_readme(block or preset, text)
