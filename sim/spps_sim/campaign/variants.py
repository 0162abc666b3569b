"""What a campaign of crossed faults runs: a short connection in variants, over a sync link with faults."""
from dataclasses import dataclass

from ..backend.interface import SyncFaults
from .scenario import Scenario

__all__ = ["LINKS", "REGISTERS", "VARIANTS", "Link", "Setting", "Variant"]

#: of every variant. With heartbeats every 300 clocks a standby takes over when four in a row are lost; three cost
#: nothing, for the lease outlives them. A peer that is gone is found by `retries` or by keepalive.
REGISTERS = {"hb_interval": 300, "lease": 1300, "takeover_after": 1420, "retransmit_after": 600, "resync_pace": 200,
             "retries": 3, "syn_retries": 3, "keepalive": 150, "keepalive_interval": 30, "keepalive_probes": 3}
#: of every variant: data both ways at once, then a half-closed connection that carries data, then TIME-WAIT
COMMON = {"up": 1800, "down": 1800, "half_close": True, "msl": 6000, "rto_max": 10_000, "limit": 600_000, "retries": 6,
          "registers": REGISTERS}


@dataclass(frozen=True)
class Variant:
    """A connection: what it is in one line, and how it differs from the plain one (see Scenario)."""

    text: str
    changes: dict


@dataclass(frozen=True)
class Link:
    """Faults of the sync link in both directions, all the time: what they are in one line.

    losing: heartbeats may be lost or late, so that a standby may take over, and an active may go on alone, by chance.
    late: frames arrive after later ones, or after the link was cut.
    """

    text: str
    faults: dict
    losing: bool = True
    late: bool = False


VARIANTS = {
    "plain": Variant("the client ends first", {}),
    "server": Variant("the server ends first", {"close": "server"}),
    "both": Variant("both ends send their FIN at once", {"close": "both"}),
    "stamps": Variant("timestamps on both legs", {"timestamps": True}),
    "sack": Variant("SACK and timestamps on both legs", {"sack": True, "timestamps": True}),
    "scale": Variant("a window scale of 2 on both legs", {"wscale": 2}),
    "small": Variant("a maximum segment size of 128 bytes", {"mss": 128, "up": 700, "down": 700}),
}

LINKS = {
    "none": Link("no fault", {}, losing=False),
    "loss": Link("5 % of the frames are lost", {"loss": 0.05}),
    "duplicate": Link("20 % of the frames come twice", {"duplicate": 0.2}, losing=False, late=True),
    "reorder": Link("10 % of the frames are passed by later ones", {"reorder": 0.1}, late=True),
    "corrupt": Link("5 % of the frames have a wrong FCS", {"corrupt": 0.05}),
    "truncate": Link("5 % of the frames are cut short", {"truncate": 0.05}),
    "replay": Link("10 % of the frames come again much later, so also those of an old epoch", {"replay": 0.1},
                   losing=False, late=True),
    "delay": Link("every frame takes 150 clocks longer", {"delay": 150}, losing=False, late=True),
    "mixed": Link("3 % lost, 5 % twice, 5 % passed, 2 % with a wrong FCS, 2 % cut short, 3 % again much later",
                  {"loss": 0.03, "duplicate": 0.05, "reorder": 0.05, "corrupt": 0.02, "truncate": 0.02,
                   "replay": 0.03}, late=True),
}


@dataclass(frozen=True, order=True)
class Setting:
    """What a run before its failure is made of.

    Parameters
    ----------
    variant, link : str
        Keys of VARIANTS and LINKS.
    seed : int
        Of payload, peers and the faults of the sync link.
    preset : str
        Of SppsParams, or "fake" for a pair without RTL.

    Raises
    ------
    ValueError
        When `variant` or `link` is none of these.
    """

    variant: str
    link: str
    seed: int
    preset: str = "tiny"

    def __post_init__(self):
        for name, table in (("variant", VARIANTS), ("link", LINKS)):
            if getattr(self, name) not in table:
                raise ValueError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(table)}")

    def scenario(self):
        """Return the Scenario."""
        return Scenario(preset=self.preset, seed=self.seed, **COMMON | VARIANTS[self.variant].changes)

    def sync_faults(self, sender):
        """Return the SyncFaults of the frames of unit `sender`."""
        faults = LINKS[self.link].faults
        return SyncFaults(seed=2 * self.seed + sender + 1, **faults) if faults else SyncFaults()
