"""Where benches leave their figures: build/bench/summary.json."""
import json
from pathlib import Path

__all__ = ["record"]

SUMMARY = Path(__file__).resolve().parents[3] / "build" / "bench" / "summary.json"


def record(key, figures):
    """Put figures {name: clocks} under `key`, beside what other benches wrote, and print them."""
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    summary = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else {}
    SUMMARY.write_text(json.dumps(summary | {key: figures}, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:44} {value:8} clocks")
