"""Measure serving: prints a table, writes it to docs/benchmarks.md, and the figures to docs/benchmarks/serving.json.

Parts: throughput (8 sessions in a batch against one by one), memory, limit (as many users as are admitted, and one
more), faults (bad clients and killed workers among good users), official (the `openai` client).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PARTS = ("throughput", "memory", "limit", "faults", "official")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", required=True, type=Path, help="packed model folder")
    options.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    options.add_argument("--questions", type=Path, help="what the users say: data directory, or wav.scp; else noise")
    options.add_argument("--sessions", type=int, default=1000, help="that come and go (memory)")
    options.add_argument("--limit_s", type=float, default=60, help="how long the users at the limit talk")
    options.add_argument("--max_sessions", type=int, default=0, help="admission limit; 0 as the server measures it")
    options.add_argument("--fault_minutes", type=float, default=30)
    options.add_argument("--fault_users", type=int, default=3, help="who speak, each its own question")
    options.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    options.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/serving.json")
    options.add_argument("--table", type=Path, default=ROOT / "docs/benchmarks.md", help="document to put it into")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line for a model or questions that cannot be used."""
    from freeze_omni.bin.errors import USER_ERRORS

    chosen = parser().parse_args(arguments)
    if "faults" in chosen.parts and chosen.questions is None:
        sys.exit("serving: error: faults needs --questions with `text`: users are told apart by what they say")
    try:
        run(chosen)
    except (*USER_ERRORS, ValueError) as error:
        sys.exit(f"serving: error: {error}")


def run(chosen: argparse.Namespace) -> None:
    from benchmarks.generated import put
    from benchmarks.load import report
    from freeze_omni.eval.provenance import provenance

    started_s = time.time()
    found: dict[str, Any] = {}
    if chosen.output.exists():
        found = json.loads(chosen.output.read_text(encoding="utf-8"))
    for part in chosen.parts:
        print(f"{part} ...", file=sys.stderr, flush=True)
        result = _measure(part, chosen)
        found[part] = {**result, "made": provenance(0, started_s)}
        found |= {key: value for key, value in result.items() if key in HEADLINES}
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    put(chosen.table, "serving", report.markdown(found))
    print(f"{report.plain(found)}\n\nwrote {chosen.output} and {chosen.table}")


HEADLINES = (
    "batch8_speedup",
    "step_p90_ms_at_limit",
    "fault_minutes",
    "crashes",
    "cross_talk",
    "realtime_client_scenarios",
)


def _measure(part: str, chosen: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.load import faults, limit, material, memory, official, throughput
    from freeze_omni.eval.runner import load_model

    sounds = material.sounds(chosen.questions, 8)
    if part == "throughput":
        return throughput.measure(load_model(chosen.model, chosen.threads), sounds)
    if part == "memory":
        return memory.measure(load_model(chosen.model, chosen.threads), chosen.sessions, sounds)
    if part == "limit":
        return asyncio.run(limit.measure(chosen.model, sounds, chosen.limit_s, chosen.max_sessions))
    if part == "faults":
        spoken = material.spoken(chosen.questions, chosen.fault_users)
        return asyncio.run(faults.measure(chosen.model, spoken, faults.FaultConfig(chosen.fault_minutes)))
    return asyncio.run(official.measure(chosen.model, sounds))


if __name__ == "__main__":
    main()
