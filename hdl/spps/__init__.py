"""SPPS: a stateful protocol processing system whose TCP connections survive the death of their proxy.

What a design uses is here; each block has a package of its own. Nothing is imported before it is asked for, so that
the command line starts at once.
"""
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mmc import register_addresses
    from .pair import SppsPair
    from .params import PRESETS, SppsParams
    from .top import Spps

__all__ = ["PRESETS", "Spps", "SppsPair", "SppsParams", "register_addresses"]

_WHERE = {"PRESETS": "params", "Spps": "top", "SppsPair": "pair", "SppsParams": "params", "register_addresses": "mmc"}


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *__all__])
