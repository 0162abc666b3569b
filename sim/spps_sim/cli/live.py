"""`spps live`: a pair that keeps running between two network namespaces."""
from contextlib import ExitStack
from pathlib import Path

import click

from spps.tools.options import preset_option

from .building import simulation

__all__ = ["live"]


@click.command()
@click.option("--mode", type=click.Choice(["proxy", "endpoint"]), default="proxy", show_default=True,
              help="proxy: client side to server side. endpoint: the units themselves, echo on port 7, discard on "
                   "port 9.")
@preset_option("live", "Sizes of the units; `reprogram` needs two clusters (duo).")
@click.option("--metrics", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve Prometheus text at http://127.0.0.1:PORT/metrics; 0 takes a free port and prints it.")
@click.option("--socket", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Control socket for `spps ctl`  [default: $SPPS_CONTROL, else spps/live.sock in $XDG_RUNTIME_DIR, "
                   "else spps-UID/live.sock in the temporary folder]")
def live(mode, preset, metrics, path):
    """Keep a pair running between two network namespaces.

    Runs until Ctrl-C and prints a line for each event of the pair: kills, takeovers, lost leases, changes of
    protection. Needs root for TAP devices.
    """
    import random
    import shlex
    import signal

    from ..live.control import ControlSocket, check_control
    from ..live.metrics import MetricsServer, check_port, metrics_text
    from ..live.status import read_status, status_text
    from ..live.watch import PairWatch
    from ..network.namespaces import require_privilege
    from ..network.testbed import Addresses, Testbed
    require_privilege()
    check_control(path)
    if metrics:
        check_port(metrics)
    sim, params = simulation(preset)

    def stop(*_):
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, and Python then makes no KeyboardInterrupt of it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with ExitStack() as stack:
            testbed = stack.enter_context(Testbed(sim, params, mode=mode,
                                                  seed=random.SystemRandom().getrandbits(64)))
            serving = [stack.enter_context(ControlSocket(testbed, path)).serve]
            client, server = testbed.namespaces
            click.echo(f"client side: ip netns exec {client.name} ...   (connect to {Addresses.vip[0]})")
            click.echo(f"server side: ip netns exec {server.name} ...   "
                       + (f"(listen on {Addresses.server})" if mode == "proxy" else f"(connect to {Addresses.vip[1]})"))
            if metrics is not None:
                scraped = stack.enter_context(MetricsServer(lambda: metrics_text(testbed), metrics))
                serving.append(scraped.serve)
                click.echo(f"metrics:     http://127.0.0.1:{scraped.port}/metrics")
            ctl = "spps ctl" + (f" --socket {shlex.quote(str(path))}" if path else "")
            click.echo(f"control:     {ctl} status, connections, kill, freeze, thaw, stats, ... (spps ctl --help)")
            watch = PairWatch(testbed, lambda event: click.echo(str(event)))
            click.echo(status_text(read_status(testbed)))
            click.echo(f"{testbed.speed:.0f} simulated cycles per second; ready")
            while True:
                testbed.turn()
                for serve in serving:
                    serve()
                watch.look()
    except KeyboardInterrupt:
        click.echo("stopped")
