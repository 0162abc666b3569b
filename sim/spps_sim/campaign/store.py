"""Results of a campaign in SQLite, so that it goes on where it was when the same command is given again."""
import json
import sqlite3
import time
from pathlib import Path

from spps.tools.errors import ToolError

from .plan import Phases
from .variants import Setting

__all__ = ["Store"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started TEXT, seconds REAL, tree TEXT, sources TEXT, preset TEXT, seed INTEGER,
    cases INTEGER, ran INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS settings (
    variant TEXT, link TEXT, seed INTEGER, phases TEXT, PRIMARY KEY (variant, link, seed));
CREATE TABLE IF NOT EXISTS cases (
    line TEXT PRIMARY KEY, run INTEGER REFERENCES runs (id), variant TEXT, failure TEXT, link TEXT, seed INTEGER,
    cycle INTEGER, states_up TEXT, states_down TEXT, demand TEXT, outcome TEXT, protected INTEGER, failed INTEGER,
    wrong TEXT, takeover_cycles INTEGER, stall_client INTEGER, stall_server INTEGER, cycles INTEGER,
    rejoins INTEGER, double INTEGER, notes TEXT);
"""


class Store:
    """The file of one campaign. Tables: runs, one per command; settings, what was learnt; cases, keyed by their line.

    Parameters
    ----------
    path : Path
        Of the file; made when it is not there.
    tree, sources, preset : str
        State of the checkout in words, digest of what the results depend on, preset of the pair.
    fresh : bool
        Forget what is there.

    Raises
    ------
    ToolError
        When the file has results of other sources or another preset, or is no database.
    """

    def __init__(self, path, tree, sources, preset, *, fresh=False):
        self.path = Path(path)
        self.tree, self.sources, self.preset = tree, sources, preset
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        try:
            self.db = sqlite3.connect(self.path)
            self.db.row_factory = sqlite3.Row
            self.db.executescript("PRAGMA journal_mode=WAL;" + SCHEMA)
            last = self.db.execute("SELECT tree, sources, preset FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            raise ToolError(f"{self.path}: {error}; --fresh starts over") from error
        if last and last["preset"] != preset:
            raise ToolError(f"{self.path} has cases of preset {last['preset']}; --fresh starts over")
        if last and last["sources"] != sources:
            raise ToolError(f"{self.path} has cases of other sources ({last['tree']}); --fresh starts over")

    def begin(self, seed, cases):
        """Begin a run, and return its number."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with self.db:
            return self.db.execute(
                "INSERT INTO runs (started, tree, sources, preset, seed, cases) VALUES (?, ?, ?, ?, ?, ?)",
                (now, self.tree, self.sources, self.preset, seed, cases)).lastrowid

    def end(self, run, seconds, ran):
        """Note how long a run took and how many cases it ran."""
        with self.db:
            self.db.execute("UPDATE runs SET seconds = ?, ran = ? WHERE id = ?", (seconds, ran, run))

    def phases(self):
        """Return {Setting: Phases} of what was learnt."""
        return {Setting(row["variant"], row["link"], row["seed"], self.preset):
                Phases.from_json(json.loads(row["phases"])) for row in self.db.execute("SELECT * FROM settings")}

    def learnt(self, setting, phases):
        """Keep what a setting has said."""
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?, ?)",
                            (setting.variant, setting.link, setting.seed, json.dumps(phases.to_json())))

    def lines(self):
        """Return the lines of the cases that are there."""
        return {row["line"] for row in self.db.execute("SELECT line FROM cases")}

    def add(self, run, cases, phases):
        """Keep results of run_case.

        Parameters
        ----------
        run : int
            Number of the run.
        cases : list of (Case, dict)
            Case and result.
        phases : dict
            Setting -> Phases.
        """
        with self.db:
            self.db.executemany(
                f"INSERT OR REPLACE INTO cases VALUES ({', '.join('?' * 21)})",
                [self._row(run, case, result, phases[case.setting]) for case, result in cases])

    @staticmethod
    def _row(run, case, result, phases):
        up, down = (",".join(map(str, phases.at(case.cycle, direction))) for direction in (0, 1))
        notes, stalls = result["notes"], result["stalls"]
        return (case.line, run, case.setting.variant, case.failure, case.setting.link, case.setting.seed, case.cycle,
                up, down, result["demand"], result["outcome"], result["protected"], int(bool(result["failures"])),
                json.dumps(result["failures"]), result["takeover_cycles"], stalls.get("client"), stalls.get("server"),
                result["cycles"], notes.get("rejoins", 0), notes.get("double", 0), json.dumps(notes))

    def rows(self, lines=None):
        """Return the cases as dicts, those of `lines` only if given; ordered by line."""
        rows = [dict(row) for row in self.db.execute("SELECT * FROM cases ORDER BY line")]
        return rows if lines is None else [row for row in rows if row["line"] in lines]

    def runs(self):
        """Return the runs as dicts, oldest first."""
        return [dict(row) for row in self.db.execute("SELECT * FROM runs ORDER BY id")]

    def close(self):
        """Close the file."""
        self.db.close()
