"""Configuration, status and frame format of failover: what is written in more than one place agrees."""
import re
from itertools import accumulate
from pathlib import Path

import pytest

import spps.failover
from spps.failover import FailoverConfig, FailoverStatus, signature
from spps.failover.ip_switch import PATIENCE
from spps.failover.sync_frame import HEADER_FIELDS
from spps.layouts.flowstate import LINE_WORDS, SHARED
from spps.mmc import spps_map
from spps.params import TINY

README = Path(spps.failover.__file__).with_name("README.md").read_text()
TABLES = (FailoverConfig(), signature.CONFIG + signature.KEYS), (FailoverStatus(), signature.STATUS)


@pytest.mark.parametrize("signature, table", TABLES)
def test_docstring_names_every_member_and_no_other(signature, table):
    section = signature.__doc__.split("-------\n")[1]
    named = re.findall(r"\w+", " ".join(re.findall(r"^    ([\w, ]+) : Out", section, re.M)))
    assert sorted(named) == sorted(signature.members) == sorted(item.name for item in table)


@pytest.mark.parametrize("signature, table", TABLES)
def test_docstring_gives_the_width_of_every_member(signature, table):
    widths = {}
    for names, width in re.findall(r"^    ([\w, ]+) : Out\((\d+)", signature.__doc__, re.M):
        widths.update(dict.fromkeys(names.split(", "), int(width)))
    assert widths == {item.name: item.width for item in table}


@pytest.mark.parametrize("port, table", (("failover", signature.CONFIG + signature.KEYS),
                                         ("failover_status", signature.STATUS)))
def test_every_word_is_a_register_with_its_text(port, table):
    regs = spps_map(TINY)
    found = [(r.name, r.width, r.doc, r.reset) for r in regs.by_address.values() if r.member and r.member[0] == port]
    assert found == [(item.name, item.width, item.text, item.reset) for item in table]
    assert all(item.text for item in table)


def test_keys_and_nothing_else_can_only_be_written():
    assert [r.name for _, r in spps_map(TINY).of("wo")] == [item.name for item in signature.KEYS]


def test_readme_has_the_header_of_sync_frames():
    rows = re.findall(r"^\| (\d+) \| ([\d +]+) \| ([\w, ]+) \|", README, re.M)
    places = dict(zip((name for name, _ in HEADER_FIELDS), accumulate((size for _, size in HEADER_FIELDS), initial=0)))
    sizes = dict(HEADER_FIELDS)
    listed = {}
    for first, size, names in rows:
        place = int(first)
        for name, each in zip(names.split(", "), size.split(" + ")):
            listed[name] = place, int(each)
            place += int(each)
    assert listed == {name: (places[name], sizes[name]) for name in places}


def test_dissector_names_the_words_of_line_0_as_the_flowstate_does():
    script = Path(spps.failover.__file__).with_name("spps_sync.lua").read_text()
    listed = re.search(r"local delta = \{ \[0\] = (.*?) \}", script)[1]
    assert re.findall(r'"(\w+)"', listed) == sorted((name for name, field in SHARED.items() if field.word < LINE_WORDS),
                                                   key=lambda name: SHARED[name].word)


def test_readme_has_the_patience_of_the_switch():
    assert f"`patience` clocks (parameter, {PATIENCE})" in README
