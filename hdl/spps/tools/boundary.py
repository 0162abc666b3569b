"""The ports of the blocks as a Markdown page, made from their signatures, so that it cannot drift."""
from amaranth.hdl import Shape
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In

__all__ = ["blocks_of", "boundaries_markdown", "member_text", "shape_text"]


def shape_text(shape, names=()):
    """Return a shape in words: `Event`, `16`, `16 × 2`, `{a 8, b 1}`.

    names : iterable of (shape, str)
        Words for layouts that are functions of the parameters, such as a packet.
    """
    if isinstance(shape, type):
        return shape.__name__
    for known, text in names:
        if shape == known:
            return text
    if isinstance(shape, data.ArrayLayout):
        return f"{shape_text(shape.elem_shape, names)} × {shape.length}"
    if isinstance(shape, data.StructLayout):
        fields = [f"{name} {shape_text(field.shape, names)}" for name, field in shape]
        if all(field.width == 1 for _, field in shape):
            return f"{len(fields)} bit{'s' * (len(fields) > 1)} by name"
        return "{" + ", ".join(fields) + "}"
    shape = Shape.cast(shape)
    return f"signed {shape.width}" if shape.signed else str(shape.width)


def member_text(name, member, names=()):
    """Return one member of a signature, as `i: In(stream of Event)`. names: see shape_text."""
    flow = "In" if member.flow == In else "Out"
    size = "".join(f"[{n}]" for n in member.dimensions)
    if not member.is_signature:
        what = shape_text(member.shape, names)
    elif isinstance(member.signature, stream.Signature):
        what = f"stream of {shape_text(member.signature.members['payload'].shape, names)}"
    else:
        what = type(member.signature).__name__
        if what == "Signature":
            what = f"{len(dict(member.signature.members.items()))} members"
    return f"`{name}{size}: {flow}({what})`"


def blocks_of(spps):
    """Return [(package.Class, component)] of the blocks that an Spps holds, without repetitions."""
    found = {}
    for value in vars(spps).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Component):
                package = type(part).__module__.removeprefix("spps.").split(".")[0]
                found.setdefault(f"{package}.{type(part).__name__}", part)
    return list(found.items())


def boundaries_markdown(params):
    """Return the page: every block of a unit with `params`, what it is, and its members."""
    from ..failover import IpSwitch
    from ..layouts.message import beat_layout
    from ..layouts.packet import link_layout, packet_layout
    from ..pair import SppsPair
    from ..top import Spps
    width = params.data_width
    names = [(packet_layout(width), "packet"), (link_layout(width), "SPI-4 words"), (beat_layout(), "beats")]
    unit = Spps(params)
    blocks = [*blocks_of(unit), ("top.Spps", unit), ("failover.IpSwitch", IpSwitch(params)),
              ("pair.SppsPair", SppsPair(params))]
    for block in (*vars(unit).values(), *unit.clusters, *(component for _, component in blocks)):
        if isinstance(block, Component):
            block._MustUse__silence = True      # asked for its signature only, hence never elaborated
    lines = [
        f"# Boundaries of the blocks ({params.name})", "",
        "Made by `spps boundaries` from the signatures; do not edit. `In` and `Out` as seen by the block; widths in "
        f"bits, of preset {params.name}. A *packet* is a word of `layouts.packet`, *beats* are those of "
        "`layouts.message`; other names are classes of `spps.layouts` and signatures of the block's package.", "",
        "| component | what it does | members |", "|---|---|---|"]
    for title, component in blocks:
        what = (type(component).__doc__ or "").strip().splitlines()[0]
        members = ", ".join(member_text(name, member, names) for name, member in component.signature.members.items())
        lines.append(f"| `{title}` | {what} | {members} |")
    return "\n".join(lines) + "\n"
