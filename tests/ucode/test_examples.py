"""The examples in the docstrings are true."""
import doctest
import importlib

import pytest


@pytest.mark.parametrize("name",
                         ["spps.ucode.asm", "spps.ucode.codec", "spps.ucode.iss", "spps_sim.model.random_program"])
def test_docstring_examples(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed
