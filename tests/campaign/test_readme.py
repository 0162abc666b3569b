"""The tables of the README are those of the program."""
import re
from pathlib import Path

from spps_sim.campaign.failures import FAILURES
from spps_sim.campaign.variants import LINKS, VARIANTS

TEXT = (Path(__file__).parents[2] / "sim" / "spps_sim" / "campaign" / "README.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_program():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT, re.M)
    assert rows == [*((name, variant.text) for name, variant in VARIANTS.items()),
                    *((name, link.text) for name, link in LINKS.items()),
                    *((name, f"{failure.text} | {failure.holds}") for name, failure in FAILURES.items())]


def test_what_must_hold_is_explained():
    assert {failure.holds for failure in FAILURES.values()} <= set(re.findall(r"^\| (\w[\w ]*) \| ", TEXT, re.M))
