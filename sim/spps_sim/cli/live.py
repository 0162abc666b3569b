"""`spps live`: a pair that keeps running between two network namespaces, or a bed of two units in a process each."""
from contextlib import ExitStack
from pathlib import Path

import click

from spps.tools.options import preset_option

from .building import simulation, unit_simulation

__all__ = ["live"]

RATE_LEAST, RATE_MOST = 5_000, 100_000_000


@click.command()
@click.option("--mode", type=click.Choice(["proxy", "endpoint"]), default="proxy", show_default=True,
              help="proxy: client side to server side. endpoint: the units themselves, echo on port 7, discard on "
                   "port 9.")
@preset_option("live", "Sizes of the units; `reprogram` needs two clusters (duo).")
@click.option("--metrics", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve Prometheus text at http://127.0.0.1:PORT/metrics; 0 takes a free port and prints it.")
@click.option("--bed", is_flag=True, help="Keep switches and hosts only, for two units that run in a process each.")
@click.option("--unit", type=click.IntRange(0, 1), help="Run one unit of the bed, 0 or 1, in this process.")
@click.option("--rate", type=click.IntRange(RATE_LEAST, RATE_MOST),
              help="With --unit: clocks per second of wall time, the same for both units  [default: 30000]")
@click.option("--key", "key_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="With --unit: file with the key of the sync link, 32 hexadecimal digits  [default: drawn by the "
                   "bed]")
@click.option("--socket", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Control socket for `spps ctl`  [default: $SPPS_CONTROL, else spps/live.sock in $XDG_RUNTIME_DIR, "
                   "else spps-UID/live.sock in the temporary folder]; each unit of a bed has one beside it")
def live(mode, preset, metrics, bed, unit, rate, key_file, path):
    """Keep a pair running between two network namespaces.

    Runs until Ctrl-C and prints a line for each event of the pair: kills, takeovers, lost leases, changes of
    protection. Needs root for TAP devices.

    With --bed and --unit the two units are processes that meet at Ethernet switches, without an IP switch: start
    `spps live --bed`, then `spps live --unit 0` and `spps live --unit 1`. kill -9 is the failure of a unit, starting it
    again the rejoin.
    """
    import signal

    from ..live.control import control_path
    from ..network.namespaces import require_privilege
    if bed and unit is not None:
        raise click.UsageError("--bed and --unit: one process is either the bed or a unit")
    if unit is None and (rate or key_file):
        raise click.UsageError(f"{'--rate' if rate else '--key'}: only with --unit")
    if metrics is not None and bed:
        raise click.UsageError("--metrics: not with --bed, a unit serves them")
    require_privilege()

    def stop(*_):
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, and Python then makes no KeyboardInterrupt of it
    def ends_at_signals():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    try:
        if bed:
            _keep_bed(path or control_path(), ends_at_signals)
        elif unit is not None:
            _run_unit(path, unit, mode, preset, metrics, rate, key_file, ends_at_signals)
        else:
            _run_pair(path, mode, preset, metrics, ends_at_signals)
    except KeyboardInterrupt:
        click.echo("stopped")


def _run_pair(path, mode, preset, metrics, ends_at_signals):
    """Both units in this process."""
    import random
    import shlex

    from ..live.control import check_control
    from ..live.metrics import check_port
    from ..network.testbed import Addresses, Testbed
    check_control(path)
    if metrics:
        check_port(metrics)
    sim, params = simulation(preset)
    ends_at_signals()
    testbed = Testbed(sim, params, mode=mode, seed=random.SystemRandom().getrandbits(64))

    def say_hello():
        client, server = testbed.namespaces
        click.echo(f"client side: ip netns exec {client.name} ...   (connect to {Addresses.vip[0]})")
        click.echo(f"server side: ip netns exec {server.name} ...   "
                   + (f"(listen on {Addresses.server})" if mode == "proxy" else f"(connect to {Addresses.vip[1]})"))

    ctl = "spps ctl" + (f" --socket {shlex.quote(str(path))}" if path else "")
    _serve(testbed, path, metrics, ctl, "status, connections, kill, freeze, thaw, stats", say_hello)


def _run_unit(path, unit, mode, preset, metrics, rate, key_file, ends_at_signals):
    """One unit of a bed in this process."""
    import shlex

    from ..live.control import check_control, control_path
    from ..live.metrics import check_port
    from ..live.units import unit_path
    from ..network.bed import read_bed
    from ..network.unit import RATE, UnitTestbed, key_registers
    base = path or control_path()
    own = unit_path(base, unit)
    check_control(own)
    bed = read_bed(base)
    key = key_file.read_text().strip() if key_file else bed["key"]
    key_registers(key)
    if metrics:
        check_port(metrics)
    sim, params = unit_simulation(preset, unit)
    ends_at_signals()
    testbed = UnitTestbed(sim, params, bed, key=key, rate=rate or RATE, mode=mode)
    ctl = "spps ctl" + (f" --socket {shlex.quote(str(base))}" if path else "")
    _serve(testbed, own, metrics, ctl, "status, connections, stats, get, set: of both units", lambda: None)


def _serve(testbed, path, metrics, ctl, commands, say_hello):
    """Run a testbed until a signal, and answer commands."""
    from ..live.control import ControlSocket
    from ..live.metrics import MetricsServer, metrics_text
    from ..live.status import read_status, status_text
    from ..live.watch import PairWatch
    with ExitStack() as stack:
        stack.enter_context(testbed)
        serving = [stack.enter_context(ControlSocket(testbed, path)).serve]
        say_hello()
        if metrics is not None:
            scraped = stack.enter_context(MetricsServer(lambda: metrics_text(testbed), metrics))
            serving.append(scraped.serve)
            click.echo(f"metrics:     http://127.0.0.1:{scraped.port}/metrics")
        click.echo(f"control:     {ctl} {commands}, ... (spps ctl --help)")
        watch = PairWatch(testbed, lambda event: click.echo(str(event)))
        click.echo(status_text(read_status(testbed)))
        click.echo(f"{testbed.speed:.0f} simulated cycles per second; ready")
        while True:
            testbed.turn()
            for serve in serving:
                serve()
            watch.look()


def _keep_bed(base, ends_at_signals):
    """Switches and hosts, until a signal."""
    import signal

    from spps.tools.errors import ToolError

    from ..network.bed import Bed, bed_path, read_bed
    from ..network.testbed import Addresses
    try:
        read_bed(base)
    except ToolError:
        pass
    else:
        raise ToolError(f"another bed is at {bed_path(base)}: stop it first")
    ends_at_signals()
    with Bed(base) as bed:
        click.echo(f"client side: ip netns exec {bed.client.name} ...   (connect to {Addresses.vip[0]})")
        click.echo(f"server side: ip netns exec {bed.server.name} ...   (listen on {Addresses.server})")
        click.echo(f"switches:    bridge -n {bed.switch.name} fdb show br clients; also servers and sync")
        click.echo("units:       spps live --unit 0, and spps live --unit 1, each in a shell of its own")
        click.echo("control:     spps ctl status")
        click.echo("ready")
        while True:
            signal.pause()
