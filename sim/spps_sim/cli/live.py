"""`spps live`: a pair that keeps running between two network namespaces."""
import click

from .building import simulation

__all__ = ["live"]


@click.command()
@click.option("--mode", type=click.Choice(["proxy", "endpoint"]), default="proxy", show_default=True)
@click.option("--preset", default="tiny", show_default=True)
def live(mode, preset):
    """Keep a pair running between two network namespaces until Ctrl-C."""
    import signal

    from ..live.control import ControlSocket
    from ..network.namespaces import require_privilege
    from ..network.testbed import Addresses, Testbed
    require_privilege()
    sim, params = simulation(preset)

    def stop(*_):
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, and Python then makes no KeyboardInterrupt of it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with Testbed(sim, params, mode=mode) as testbed, ControlSocket(testbed) as socket:
            client, server = testbed.namespaces
            click.echo(f"client side: ip netns exec {client.name} ...   (connect to {Addresses.vip[0]})")
            click.echo(f"server side: ip netns exec {server.name} ...   "
                       + (f"(listen on {Addresses.server})" if mode == "proxy" else f"(connect to {Addresses.vip[1]})"))
            click.echo("control:     spps ctl status | stats | kill active | freeze active | thaw | reprogram FILE")
            click.echo(f"{testbed.speed:.0f} simulated cycles per second; ready")
            while True:
                testbed.turn()
                socket.serve()
    except KeyboardInterrupt:
        click.echo("stopped")
