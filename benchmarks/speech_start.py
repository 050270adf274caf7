"""How early may speech start? Sweeps the first segment and the codec's chunks against WER and time to first audio.

    python benchmarks/speech_start.py --model PACK --judge WHISPER --texts dump/dialogue/test

Writes docs/benchmarks/speech_start.json and .png, and the table in docs/serving.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
CHUNKS = ["4,24,1.5", "4,24,2", "8,24,1.5", "8,24,3", "16,24,1.5", "8,40,1.5", "20,40,2"]


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", required=True, type=Path, help="packed model folder")
    options.add_argument("--judge", required=True, type=Path, help="CTranslate2 Whisper folder")
    options.add_argument("--texts", required=True, type=Path, help="questions: a data directory, or its `text`")
    options.add_argument("--limit", type=int, default=40, help="questions")
    options.add_argument("--first_tokens", nargs="+", type=int, default=[4, 6, 8, 12, 20, 60], help="LLM tokens")
    options.add_argument("--chunks", nargs="+", default=CHUNKS, help="FIRST,LATER,GROWS")
    options.add_argument("--slack", type=float, default=1.0, help="WER points that an earlier start may cost")
    options.add_argument("--normaliser", default="english")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    options.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/speech_start.json")
    options.add_argument("--table", type=Path, default=ROOT / "docs/serving.md", help="document to put it into")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line for a model, a judge, texts or values that cannot be used."""
    from freeze_omni.bin.errors import USER_ERRORS

    chosen = parser().parse_args(arguments)
    try:
        run(chosen)
    except (*USER_ERRORS, ValueError) as error:
        sys.exit(f"speech_start: error: {error}")


def run(chosen: argparse.Namespace) -> None:
    from benchmarks.load import speech_start as sweep
    from freeze_omni.data.tables import read_table
    from freeze_omni.eval import runner, sets
    from freeze_omni.eval.judge import Judge
    from freeze_omni.eval.provenance import provenance
    from freeze_omni.eval.records import progress
    from freeze_omni.session.answer import own_answers
    from freeze_omni.session.session import SessionConfig

    started_s, judge = time.time(), Judge(chosen.judge)
    folder = chosen.texts if chosen.texts.is_dir() else chosen.texts.parent
    texts = {key: text for key, text in read_table(folder / "text", need_value=False).items() if text}
    if (folder / "answer").is_file():  # of scenes, those that ask for an answer
        texts = {key: texts[key] for key in read_table(folder / "answer") if key in texts}
    questions = {key: texts[key] for key in sets.first_keys(texts, chosen.limit)}
    model = runner.load_model(chosen.model, chosen.threads, chosen.seed)
    own = own_answers(model)
    schedules = [sweep.schedule(words) for words in chosen.chunks]
    todo = sweep.settings(own, chosen.first_tokens, schedules)
    sweep.answer(model, next(iter(questions.values())), SessionConfig())  # the first of everything is slow
    found = []
    for setting in todo:
        found.append(sweep.measure(model, questions, setting, judge, chosen.seed, chosen.normaliser))
        progress("settings", len(found), len(todo), started_s)
    names = {kind: sweep.Setting(kind, own).name for kind in (sweep.SEGMENTS, sweep.CHUNKS)}
    made = {**provenance(chosen.seed, started_s), "judge": judge.name, "questions": len(questions)}
    _write(chosen, found, names, made)


def _write(chosen: argparse.Namespace, found: list[dict[str, Any]], own: dict[str, str], made: dict[str, Any]) -> None:
    from benchmarks.generated import put
    from benchmarks.load import speech_start as sweep
    from freeze_omni.eval.provenance import processor

    picked = {kind: sweep.best(found, kind, chosen.slack)["name"] for kind in own}
    record = {"settings": found, "own": own, "chosen": picked, "slack": chosen.slack, "made": made}
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    picture = sweep.draw(found, chosen.output.with_suffix(".png"))
    lines = sweep.markdown(found, own, chosen.slack)
    try:
        lines += ["", f"![WER against first audio]({picture.relative_to(chosen.table.parent)})"]
    except ValueError:
        pass  # a picture elsewhere is not linked
    where = processor(made["machine"])
    lines += [
        "",
        f"{made['questions']} questions, judge {made['judge']}; `{made['command']}`, commit {made['commit']}, {where}, "
        f"{made['date']}.",
    ]
    put(chosen.table, "speech_start", "\n".join(lines), title="# Serving\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
