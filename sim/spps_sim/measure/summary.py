"""Where benches leave their figures: bench/summary.json in the build folder."""
import json

from spps.tools.paths import BUILD

__all__ = ["SUMMARY", "record"]

SUMMARY = BUILD / "bench" / "summary.json"


def record(key, figures, path=SUMMARY):
    """Put figures {name: clocks} under `key` of the JSON file `path`, keep the other keys; return the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    summary = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(summary | {key: figures}, indent=2) + "\n")
    return figures
