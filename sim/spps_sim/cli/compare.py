"""`spps compare`: the transfers of the demo through HAProxy and keepalived, whose active proxy dies."""
from pathlib import Path

import click

from spps.tools.options import SEED, ByteCount, out_option
from spps.tools.paths import BUILD

__all__ = ["compare"]

SHORTEST_S = 2      # progress is known to 0.1 s: of a shorter transfer the kill might miss the middle
BUFFERS = 16        # so many buffers has a transfer at least: fewer might hold all that is left of it at the kill


def _hundredths(ctx, param, value):
    """Refuse an interval that VRRP cannot tell."""
    from ..compare.config import keepalived_config
    try:
        keepalived_config(0, value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


@click.command()
@click.option("--seed", type=SEED,
              help="Repeats payload and the number of bytes before the kill; timers of kernel and keepalived are not "
                   "repeated  [default: drawn and printed]")
@click.option("--connections", type=click.IntRange(1, 1000), default=4, show_default=True,
              help="Number of TCP connections.")
@click.option("--bytes", "size", type=ByteCount(), default=1 << 20, show_default=True,
              help="Bytes each way of each connection; 64k and 1M are understood.")
@click.option("--rate", type=ByteCount(), default=1 << 18, show_default=True,
              help="Bytes per second each way of a connection, so that the kill falls into the transfer.")
@click.option("--slow", type=click.Choice(["receiver", "sender"]), default="receiver", show_default=True,
              help="Who holds to the rate. With slow receivers the buffers of the proxies fill, as before a slow "
                   "network.")
@click.option("--buffer", type=ByteCount(4096), default=1 << 16, show_default=True,
              help="Largest window of a socket and its buffer for sending, bytes, at ends and proxies; a unit of SPPS "
                   "has 64k.")
@click.option("--advert", type=float, default=1.0, show_default=True, callback=_hundredths, metavar="SECONDS",
              help="Interval of VRRP advertisements, seconds, in hundredths; the standby waits for more than three.")
@click.option("--limit", type=click.FloatRange(1, 3600), default=15.0, show_default=True,
              help="Seconds after the kill; an end that has neither ended nor failed by then is hung.")
@click.option("--demo", type=click.Path(dir_okay=False, path_type=Path), default=BUILD / "demo" / "summary.json",
              show_default=False,
              help="Summary of `spps demo` to put beside  [default: demo/summary.json in the build folder]")
@out_option("compare", "Folder for summary.json, configuration and logs.")
def compare(seed, connections, size, rate, slow, buffer, advert, limit, demo, out):
    """Transfers through HAProxy and keepalived; the active proxy dies.

    Two proxies, each in a network namespace, with one virtual address by VRRP. The active one is killed as when a
    machine dies: its links go down and its processes end. Prints connections lost, bytes acknowledged but never
    delivered, and the time until a new connection is served, beside the figures of the last `spps demo`. Needs root,
    HAProxy and keepalived. The exit code is 0 when that could be measured.
    """
    if size < SHORTEST_S * rate:
        raise click.UsageError(f"--bytes {size} at --rate {rate}: the transfer takes {size / rate:.2g} s, expected "
                               f"{SHORTEST_S} s or more")
    if size < BUFFERS * buffer:
        raise click.UsageError(f"--bytes {size} with --buffer {buffer}: expected {BUFFERS * buffer} bytes or more")
    import signal

    from ..compare.run import run_compare
    from ..network.namespaces import require_privilege

    def stop(*_):
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, and Python then makes no KeyboardInterrupt of it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    require_privilege(tap=False)
    run_compare(seed=seed, connections=connections, size=size, rate=rate, slow=slow, buffer=buffer,
                advert=advert, limit=limit, out=out, demo=demo)
