"""Options of `spps campaign` that do not fit: one line, before anything is built."""
import pytest

from tests.cli.env_cli import Env

REFUSED = {
    ("--all", "--cases", "0"): "'--cases': 0 is not in the range x>=1",
    ("--all", "--cycles", "5"): "--cycles: not with --all, whose connections and faults are in a table",
    ("--all", "--up", "4k"): "--up: not with --all",
    ("--all", "--waves"): "--waves: expected --replay",
    ("--all", "--replay", "5"): "--replay: not with --all",
    ("--all", "--scheduler", "nowhere"): "'--scheduler': 'nowhere': expected HOST:PORT, such as tcp://10.0.0.1:8786",
    ("--all", "--scheduler", "host:1", "--processes", "2"): "--processes: not with --scheduler",
    ("--cases", "7"): "--cases: expected --all beside it",
    ("--fresh",): "--fresh: expected --all beside it",
    ("--scheduler", "host:8786"): "--scheduler: expected --all beside it",
    ("--replay", "plain:kill"): "'--replay': 'plain:kill': expected a cycle or a case, VARIANT:FAILURE:LINK:SEED:CYCLE",
    ("--replay", "plain:fire:none:1:1"): "failure 'fire': expected one of nothing, kill",
    ("--replay", "plain:kill:none:1:1", "--seed", "2"): "--seed: not with --replay CASE, which says all of it",
    ("--replay", "x"): "'--replay': 'x' is not a valid integer range",
    ("--wscale", "15"): "'--wscale': 15 is not in the range 0<=x<=14",
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    env = Env(tmp_path_factory.mktemp("refusals"))
    return dict(zip(REFUSED, env.each([("campaign", *words) for words in REFUSED]), strict=True))


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_does_not_fit_is_refused_before_anything_is_built(arguments, refusals):
    code, output, built, _, exception = refusals[arguments]
    assert code == 2 and exception == "SystemExit", output
    last = output.rstrip("\n").splitlines()[-1]
    assert last.startswith("Error: ") and REFUSED[arguments] in last, output
    assert not built


@pytest.mark.parametrize("missing", ["distributed", "matplotlib"])
def test_a_package_that_is_missing_is_named(missing, tmp_path):
    env = Env(tmp_path, missing=[missing])
    done = env.run("campaign", "--all", "--preset", "fake")
    assert done.returncode == 1 and done.stderr == (
        f"Error: spps campaign needs the simulation: pip install 'spps[sim]' (no module {missing})\n")
    assert not env.build.exists()
