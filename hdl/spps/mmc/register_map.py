"""Registers as small objects, and the builder that gives them addresses.

Nothing here is hardware: the RTL, the documentation and the harness's table of names are all made from one
`RegisterMap`.
"""
from dataclasses import dataclass, field

__all__ = ["RegisterField", "Register", "RegisterMap", "ACCESS"]

#: rw: the host writes, a block reads; wo: the same, but the host reads 0; ro: a block writes; const: identification;
#: pulse: each 1 written lasts one clock; window: a write does something; fetch: a read asks a block for the value;
#: counter: counts, any write clears it
ACCESS = ("rw", "wo", "ro", "const", "pulse", "window", "fetch", "counter")


@dataclass(frozen=True)
class RegisterField:
    """Some bits of a register. Raises ValueError for bits outside 31:0."""

    name: str
    lsb: int
    width: int = 1
    doc: str = ""

    def __post_init__(self):
        if self.lsb < 0 or self.width < 1 or self.lsb + self.width > 32:
            raise ValueError(f"{self.name}: bits {self.lsb + self.width - 1}:{self.lsb} must lie in 31:0")


@dataclass(frozen=True)
class Register:
    """One 32-bit word of the map.

    name; access, one of ACCESS; width: bits that exist, the others read 0; reset: also the value of a constant;
    member: (port, index or name in it) that it drives or shows when that is not port `name`; fields.
    least, most: the values that a host may write; most=None: all that the bits hold. Hardware takes any.
    secret: the value is a key, which tools do not show.
    Raises ValueError naming the value and the limit.
    """

    name: str
    access: str = "rw"
    width: int = 32
    reset: int = 0
    doc: str = ""
    member: tuple | None = None
    fields: tuple = field(default=())
    secret: bool = False
    least: int = 0
    most: int | None = None

    @property
    def highest(self):
        """The highest value that a host may write."""
        return (1 << self.width) - 1 if self.most is None else self.most

    def limits(self):
        """Return the limits of its values in words; empty if every value of its bits will do."""
        most = self.highest
        if most == (1 << self.width) - 1:
            return f"at least {self.least}" if self.least else ""
        power = most > 0xFFFF and not most & (most + 1)
        above = f"less than 2^{most.bit_length()}" if power else f"at most {most}"
        if self.least:
            return f"{self.least} to {most}" if not power else f"at least {self.least}, {above}"
        return above

    def __post_init__(self):
        if self.access not in ACCESS:
            raise ValueError(f"{self.name}: access={self.access!r}: must be one of {', '.join(ACCESS)}")
        if not 1 <= self.width <= 32:
            raise ValueError(f"{self.name}: width={self.width!r}: must be from 1 to 32")
        if self.reset < 0 or self.reset >> self.width:
            raise ValueError(f"{self.name}: reset={self.reset:#x}: must fit {self.width} bits")
        if not self.least <= self.highest < 1 << self.width:
            raise ValueError(f"{self.name}: least={self.least}, most={self.most}: must fit {self.width} bits, in this "
                             "order")
        if self.access == "rw" and not self.least <= self.reset <= self.highest:
            raise ValueError(f"{self.name}: reset={self.reset:#x}: must be from {self.least} to {self.highest}")
        used = 0
        for part in self.fields:
            bits = (1 << part.width) - 1 << part.lsb
            if used & bits:
                raise ValueError(f"{self.name}.{part.name}: overlaps another field")
            used |= bits


class RegisterMap:
    """Collects registers into regions and assigns byte addresses.

    size: bytes of the address space. Regions are aligned to 256 bytes, so that the address decoder sees them as a
    number.
    """

    REGION = 256

    def __init__(self, size=1 << 16):
        self.size = size
        self.by_address = {}
        self.by_name = {}
        self._next = 0

    def region(self, address):
        """Continue at this address. Raises ValueError when no region begins there or it is already passed."""
        if address % self.REGION or address < self._next:
            raise ValueError(f"region {address:#x}: must be a multiple of {self.REGION:#x} from {self._next:#x}")
        self._next = address
        return self

    def add(self, register):
        """Give `register` the next free word. Raises ValueError for a name that is taken and when the space is full."""
        if register.name in self.by_name:
            raise ValueError(f"{register.name}: this name is taken by address {self.by_name[register.name]:#06x}")
        if self._next + 4 > self.size:
            raise ValueError(f"{register.name}: the address space of {self.size:#x} bytes is full")
        self.by_address[self._next] = register
        self.by_name[register.name] = self._next
        self._next += 4
        return self

    def of(self, *access):
        """Return [(address, register)] of these kinds of access, in order of address."""
        return [(a, r) for a, r in sorted(self.by_address.items()) if r.access in access]

    def addresses(self):
        """Return {name: byte address}."""
        return dict(self.by_name)

    def markdown(self):
        """Return the table of the documentation."""
        lines = ["| address | name | access | bits | reset | meaning |", "|---|---|---|---|---|---|"]
        for address, reg in sorted(self.by_address.items()):
            parts = "; ".join(f"`{f.name}` {f.lsb + f.width - 1}:{f.lsb} {f.doc}".rstrip() for f in reg.fields)
            meaning = "; ".join(x for x in (reg.doc, reg.limits(), parts) if x)
            reset = f"{reg.reset:#x}" if reg.access in ("rw", "const") else ""
            lines.append(f"| {address:#06x} | {reg.name} | {reg.access} | {reg.width} | {reset} | {meaning} |")
        return "\n".join(lines) + "\n"
