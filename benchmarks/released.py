"""The published architecture at its full size, random weights: import, cost of a step, memory of a further user.

    python -m benchmarks.released --work /a/folder/with/8GB [--output docs/benchmarks.md]

Run by hand: it takes minutes and about 6 GB of memory. Ratios are ours to `benchmarks.baseline`, on the same weights.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.generated import put
from benchmarks.turns import RELEASED, ROWS, TOKENS, Spent, encoder_steps, llm_tokens, median_ms, speech_tokens
from freeze_omni.data.tables import read_lines
from freeze_omni.eval.question import ask
from freeze_omni.pack import load
from freeze_omni.provenance import provenance
from freeze_omni.session.answer import own_answers
from freeze_omni.session.session import SessionConfig
from freeze_omni.streaming import state_bytes
from freeze_omni.system import FreezeOmni
from tests.released.make import FULL, write_checkpoint
from tests.toy import toy_llm

CONTEXT = 512  # positions that the LLM has read before the token that is measured
OURS = "ours"
USERS = 8
MB = 1e6


@dataclass(frozen=True)
class Row:
    """One line of the table; values as they are printed."""

    what: str
    ours: str
    compared: str
    ratio: float | None
    bound: str


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", required=True, type=Path, help="folder for checkpoint and pack; files are kept")
    options.add_argument("--output", type=Path, help="markdown file whose table is written anew")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--repeats", type=int, default=15)
    args = options.parse_args()
    torch.manual_seed(args.seed)
    started = time.time()
    rows = [*imported(args.work, args.seed)]
    model = load(args.work / "pack", verify=False)
    with torch.no_grad():
        user = further_user(model)
        rows += [answered(model, args.seed)]
        rows += [listening(model, args.repeats), writing(model, args.repeats), speaking(model, args.repeats), user]
    table = render(rows, provenance(args.seed, started))
    print(table)
    if args.output:
        put(args.output, "released", table)


def imported(work: Path, seed: int) -> list[Row]:
    """Import in a process of its own, with its time and the most memory that it held."""
    if not (work / "llm").exists():
        write_checkpoint(work / "checkpoints", FULL, seed)
        toy_llm(work / "llm", hidden_size=FULL.llm)
    command = [sys.executable, "-m", "freeze_omni.bin.main", "import-released", "--checkpoint", work / "checkpoints"]
    command += ["--llm", work / "llm", "--output", work / "pack"]
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    spent_s = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"import-released failed: {' '.join(map(str, command))}")
    weights = sum(path.stat().st_size for path in work.rglob("*") if path.parts[len(work.parts)] != "pack")
    peak = usage.ru_maxrss * 1024
    return [
        Row("import, time", f"{spent_s:.1f} s", "", None, "under 120 s"),
        Row("import, peak memory : weights", f"{peak / MB:,.0f} MB", f"{weights / MB:,.0f} MB", peak / weights, "< 3"),
    ]


def answered(model: FreezeOmni, seed: int) -> Row:
    """One turn, with an answer that is cut short."""
    sound = 0.1 * np.random.default_rng(seed).standard_normal(2 * model.rates.input_hz).astype(np.float32)
    answers = own_answers(model)
    answers = replace(
        answers,
        generation=replace(answers.generation, max_new_tokens=24),
        sampling=replace(answers.sampling, max_tokens=TOKENS, min_tokens_per_row=1.0),
    )
    asked = ask(model, sound, SessionConfig(answers=answers, seed=seed))
    if not len(asked.audio):
        sys.exit(f"the model spoke no answer (wrote {asked.text!r})")
    said = f"{asked.llm_tokens} LLM tokens, {len(asked.audio) / model.rates.output_hz:.2f} s of speech"
    return Row("answers a question of 2 s (24 tokens, 1 s a segment at most)", said, "", None, "speaks")


def listening(model: FreezeOmni, repeats: int) -> Row:
    """One 160 ms step of a stream whose cache is full."""
    spent = encoder_steps({OURS: model.encoder}, model.encoder, repeats, partial(_same, "encoder step"))
    return _compared("streaming step of the encoder", spent)


def writing(model: FreezeOmni, repeats: int) -> Row:
    """One token of the LLM after a dialogue."""
    spent = llm_tokens({OURS: model.llm}, model.llm, CONTEXT, repeats, partial(_same, "LLM token"))
    return _compared(f"LLM token after {CONTEXT} positions", spent)


def speaking(model: FreezeOmni, repeats: int) -> Row:
    """Speech tokens after 48 + 48 rows, in turns token by token; a second is 40 times the median."""

    def same(found: dict[str, int]) -> None:
        if found[OURS] != found[RELEASED]:
            sys.exit("speech tokens: the baseline says something else")

    decoder = model.speech_decoder
    spent = speech_tokens({OURS: decoder}, decoder, model.llm.hidden_size, max(3, repeats // 5), same)
    return _compared(f"second of speech tokens ({TOKENS} times the median token)", spent, TOKENS)


def further_user(model: FreezeOmni) -> Row:
    """What eight users more take of the process's memory, and what their caches hold."""
    cache = model.llm.new_cache()
    model.llm(torch.randn(1, CONTEXT, model.llm.hidden_size), cache=cache)
    vectors = torch.randn(1, ROWS, model.llm.hidden_size)
    feats = torch.randn(1, model.rates.chunk_feats, model.rates.mel_bins)
    users = [_user(model, cache, vectors, feats)]
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free, but still counted as ours
    before = _resident()
    users += [_user(model, cache, vectors, feats) for _ in range(USERS)]
    grown = (_resident() - before) / USERS
    caches = sum(_held(part) for part in users[-1])
    sizes = f"{grown / MB:.1f} MB", f"{caches / MB:.1f} MB"
    return Row("memory of a further user : its caches", *sizes, grown / caches, "about 1")


def _user(model: FreezeOmni, cache: Any, vectors: torch.Tensor, feats: torch.Tensor) -> list[Any]:
    _, encoder = model.encoder.step(feats, model.encoder.initial_state(1))
    return [encoder, model.adapter.initial_state(1), model.speech_decoder.start(vectors, vectors), cache.fork()]


def _held(part: Any) -> int:
    if isinstance(part, dict):
        return state_bytes(part)
    return sum(layer.keys.numel() * 2 * layer.keys.element_size() for layer in part.layers)


def _resident() -> int:
    """Anonymous memory of this process in bytes: what no file backs."""
    for line in read_lines("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    sys.exit("this benchmark reads RssAnon from /proc/self/status: run it on Linux")


def _same(what: str, found: dict[str, torch.Tensor]) -> None:
    if (found[OURS] - found[RELEASED]).abs().max() > 1e-3 * found[RELEASED].abs().max():
        sys.exit(f"{what}: the baseline computes something else")


def _compared(what: str, spent: Spent, times: int = 1) -> Row:
    found = median_ms(spent)
    mine, other = times * found[OURS], times * found[RELEASED]
    return Row(what, f"{mine:.1f} ms", f"{other:.1f} ms", mine / other, "<= 1")


def render(rows: list[Row], made: dict[str, Any]) -> str:
    """The table with its origin."""
    lines = [
        "## The published architecture at full size",
        "",
        "Random weights; an LLM of width 3584 with 2 layers stands for the 7B one. Compared with our own baseline of "
        "the released way of working, which copies whole caches at each step and token (`benchmarks/baseline.py`), "
        "and gives the same results. Times are medians.",
        "",
        "| | ours | compared with | ratio | aim |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.what} | {row.ours} | {row.compared} | {ratio} | {row.bound} |")
    machine = made["machine"]
    where = f"{machine['processor']}, {machine['threads']} thread(s), {machine['memory_gb']} GB"
    lines += [
        "",
        f"`python -m benchmarks.released`, commit {made['commit']}, seed {made['seed']}, {where}, "
        f"torch {made['versions']['torch']}, {made['date']}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
