"""Named event counters of a component, declared once with what they count."""
from collections.abc import Mapping

from amaranth.lib import data

__all__ = ["Counters"]


class Counters(Mapping):
    """What a component counts: names and texts, in the order of the register map.

    A component declares them where it uses them and has one member for all::

        class Sink(wiring.Component):
            COUNTERS = Counters({"frames": "frames taken in", "bad_dip4": "bursts with a wrong DIP-4"})

            def __init__(self):
                super().__init__({"count": Out(COUNTERS.layout)})

            def elaborate(self, platform):
                ...
                m.d.sync += self.count.frames.eq(taken)

    Each bit of `count` is high for one clock per occurrence. MMC makes a 32-bit register `<block>_<name>` of each,
    with the text. A block that shows the counters of its parts joins them with `|`, and their members with `Cat`, in
    the same order.

    Parameters
    ----------
    texts : dict[str, str]
        Name of a counter to what it counts, a phrase without a full stop.

    Raises
    ------
    ValueError
        A name is no identifier, or a text is missing or ends in a full stop.
    """

    def __init__(self, texts):
        self._texts = dict(texts)
        for name, text in self._texts.items():
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"counter {name!r}: must be a lower-case identifier")
            if not text or text.endswith("."):
                raise ValueError(f"counter {name}: text {text!r}: must say what is counted, without a full stop")

    @property
    def layout(self):
        """Layout of the member `count`: one bit per counter."""
        return data.StructLayout(dict.fromkeys(self._texts, 1))

    def __or__(self, other):
        """Counters of both. Raises ValueError for a name that both have."""
        for name in other:
            if name in self:
                raise ValueError(f"counter {name}: declared twice")
        return Counters({**self, **other})

    def __getitem__(self, name):
        return self._texts[name]

    def __iter__(self):
        return iter(self._texts)

    def __len__(self):
        return len(self._texts)
