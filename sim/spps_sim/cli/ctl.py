"""`spps ctl`: talks to a running `spps live`."""
import json
import re
import sys
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

import click

from spps.params import SppsParams

__all__ = ["ctl"]

UNIT = click.Choice(["active", "standby", "0", "1"])


class _Value(click.ParamType):
    """A register value: decimal, hexadecimal behind 0x, or an IPv4 address; 32 bits."""

    name = "value"

    def convert(self, value, param, ctx):
        """Return the number, or fail."""
        if isinstance(value, int):
            return value
        try:
            return int(IPv4Address(value))
        except AddressValueError:
            number = int(value, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", value) else -1
        if not 0 <= number < 1 << 32:
            self.fail(f"{value!r}: expected a number from 0 to 4294967295, decimal or 0x..., or an IPv4 "
                      "address", param, ctx)
        return number


class _Program(click.ParamType):
    """"default", or the absolute path of a file that the assembler takes."""

    name = "program"

    def convert(self, value, param, ctx):
        """Return the word or the path, or fail."""
        if value == "default":
            return value
        path = Path(value)
        if not path.is_file():
            wrong = "is a folder" if path.is_dir() else "no such file"
            self.fail(f"{value}: {wrong}; expected a microcode source (.uasm), or the word default", param, ctx)
        return str(path.resolve())


def _ask(ctx, command, **arguments):
    from ..live.units import ask
    return ask(command, ctx.obj, **arguments)


def _json_option(function):
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(function)


def _show(as_json, answer, text):
    click.echo(json.dumps(answer, indent=1) if as_json else text)


@click.group()
@click.option("--socket", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Control socket of `spps live`  [default: $SPPS_CONTROL, else spps/live.sock in $XDG_RUNTIME_DIR, "
                   "else spps-UID/live.sock in the temporary folder]")
@click.pass_context
def ctl(ctx, path):
    """Talk to a running `spps live`."""
    ctx.obj = path


@ctl.command()
@_json_option
@click.pass_context
def status(ctx, as_json):
    """Say which unit is active, what has stopped, and whether connections are protected.

    Of a bed (`spps live --unit`) each process says its part.

    The exit code is 1 when no unit runs.
    """
    from ..live.status import status_text
    answer = _ask(ctx, "status")
    _show(as_json, answer, status_text(answer))
    if not answer["running"]:
        sys.exit(1)


@ctl.command()
@_json_option
@click.pass_context
def stats(ctx, as_json):
    """Print the registers of each running unit; keys are hidden.

    Times are clocks unless the register map (`spps registers`) says otherwise.
    """
    answer = _ask(ctx, "stats")
    lines = []
    for name in dict.fromkeys(name for values in answer.values() for name in values):
        lines.append(f"{name:40} " + " ".join(f"{values.get(name, ''):>10}" for values in answer.values()))
    head = f"{'register':40} " + " ".join(f"{unit.replace('_', ' '):>10}" for unit in answer)
    _show(as_json, answer, "\n".join([head, *lines]))


@ctl.command()
@click.argument("unit", type=UNIT)
@_json_option
@click.pass_context
def kill(ctx, unit, as_json):
    """Kill UNIT: the active one, the standby, 0 or 1. `revive` switches it on again."""
    answer = _ask(ctx, "kill", unit=unit)
    _show(as_json, answer, f"unit {answer['killed']} killed at cycle {answer['cycle']}")


@ctl.command()
@click.argument("unit", type=UNIT)
@_json_option
@click.pass_context
def freeze(ctx, unit, as_json):
    """Stop the clock of UNIT: the active one, the standby, 0 or 1. `thaw` lets it run again."""
    answer = _ask(ctx, "freeze", unit=unit)
    _show(as_json, answer, f"unit {answer['frozen']} frozen at cycle {answer['cycle']}")


@ctl.command()
@click.argument("unit", type=click.Choice(["0", "1"]))
@_json_option
@click.pass_context
def revive(ctx, unit, as_json):
    """Switch UNIT on, 0 or 1, that was killed: it starts from reset, with the registers set so far, and joins."""
    answer = _ask(ctx, "revive", unit=int(unit))
    _show(as_json, answer, f"unit {answer['revived']} switched on at cycle {answer['cycle']}")


@ctl.command()
@click.argument("unit", type=UNIT, default="standby")
@_json_option
@click.pass_context
def rejoin(ctx, unit, as_json):
    """Have UNIT (default: the standby) forget its connections and join again as the standby.

    A fenced unit becomes the standby by it. With the register auto_join (default) both happen by themselves.
    """
    answer = _ask(ctx, "rejoin", unit=unit)
    _show(as_json, answer, f"unit {answer['joining']} asks to join")


@ctl.command()
@click.option("--force", is_flag=True, help="Go on also if bytes that were never sent are still held after "
              "the time that switch_patience says: their sources send them again.")
@_json_option
@click.pass_context
def switch(ctx, force, as_json):
    """Hand the active role over to the standby, without loss: before maintenance, and back after it.

    Waits for the end. The exit code is 1 when the units did not switch over; connections go on all the same.
    """
    from ..live.switch import switch_text
    answer = _ask(ctx, "switch", force=int(force))
    _show(as_json, answer, switch_text(answer))
    if answer["verdict"] != "done":
        sys.exit(1)


@ctl.command()
@_json_option
@click.pass_context
def thaw(ctx, as_json):
    """Let frozen units run again."""
    answer = _ask(ctx, "thaw")
    lines = [f"unit {unit} runs again" for unit in answer["thawed"]]
    _show(as_json, answer, "\n".join(lines or ["no unit was frozen"]))


@ctl.command()
@click.argument("program", type=_Program(), metavar="FILE|default")
@_json_option
@click.pass_context
def reprogram(ctx, program, as_json):
    """Put a program into both units, cluster by cluster, while traffic goes on.

    FILE is microcode source for `spps asm`; default is the program that the units start with. The units need two
    clusters or more (preset duo). Times of the answer are cycles.
    """
    from ..backend.reprogram import read_image
    if program != "default":
        read_image(program, SppsParams())       # errors of the source before anything is sent
    answer = _ask(ctx, "reprogram", program=program)
    lines = [f"{answer['words']} words"] + [
        f"{unit.replace('_', ' ')} cluster {swap['cluster']}: no events from cycle {swap['masked']}, "
        f"idle at {swap['idle']}, served again at {swap['back']}"
        for unit, swaps in answer.items() if unit != "words" for swap in swaps]
    _show(as_json, answer, "\n".join(lines))


@ctl.command()
@_json_option
@click.pass_context
def connections(ctx, as_json):
    """List the connections of the active unit.

    For each: addresses and TCP state (RFC 9293) of both legs, whether the standby has it, and payload bytes each way
    that have been acknowledged, modulo 2**32. The state is that after the last event of the connection.
    """
    from ..live.connections import connections_text
    answer = _ask(ctx, "connections")
    _show(as_json, answer, connections_text(answer))


@ctl.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("value", type=_Value())
@_json_option
@click.pass_context
def set_register(ctx, name, value, as_json):
    """Write VALUE into register NAME of each running unit.

    VALUE is decimal, hexadecimal behind 0x, or an IPv4 address. `spps registers` lists names, widths and units; cfg_
    may be left out.
    """
    answer = _ask(ctx, "set", name=name, value=value)
    _show(as_json, answer, f"{answer['register']} written in unit {' and '.join(map(str, answer['units']))}")


@ctl.command("get")
@click.argument("name")
@_json_option
@click.pass_context
def get_register(ctx, name, as_json):
    """Print register NAME of each running unit, in decimal. Keys are not shown."""
    answer = _ask(ctx, "get", name=name)
    lines = [f"{unit.replace('_', ' ')}: {value}" for unit, value in answer.items() if unit != "register"]
    _show(as_json, answer, "\n".join(lines))


@ctl.command(short_help="Print status and counters as Prometheus text.")
@click.pass_context
def metrics(ctx):
    """Print status and counters as Prometheus text (exposition format 0.0.4)."""
    click.echo(_ask(ctx, "metrics")["text"], nl=False)
