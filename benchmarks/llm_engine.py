"""How fast is the LLM with its weights in few bits, and does it say the same?

    python -m benchmarks.llm_engine --llm FOLDER --questions dump/dialogue/test/questions.jsonl [--gguf FILE]

All take turns in one process: tokens a second of 1, 4 and 8 rows, each with its own cache, and the answers to the
questions in text. Writes all that it measured into docs/benchmarks/speed.json: `llm_tokens_s_ratio` (one row, over
float32), `llm_answer_equal` (share of answers with the same words, or right where those of float32 are). They are those
of llama.cpp if a GGUF file is given, as the recipe's packs have one; those of --dtype are beside them then.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.generated import put_figures
from freeze_omni.bin.errors import user_errors
from freeze_omni.data.questions import Question, read_questions
from freeze_omni.eval.qa import is_right
from freeze_omni.llm.engine import LlmEngine
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
ROWS = (1, 4, 8)
READ_TOKENS, TURNS = 32, 3
SYSTEM = "You are a helpful voice assistant. Answer in one short sentence."


@user_errors(ValueError, name="llm_engine")
def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--llm", required=True, help="folder or hub id")
    options.add_argument("--dtype", default="int8", help="what is compared with float32, as of FrozenLLM.load")
    options.add_argument("--gguf", type=Path, help="a GGUF file of the LLM: llama.cpp as well")
    options.add_argument("--questions", required=True, type=Path, help="questions.jsonl with reference answers")
    options.add_argument("--limit", type=int, default=100, help="questions")
    options.add_argument("--tokens", type=int, default=40, help="of a measurement, and of the longest answer")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/speed.json")
    chosen = options.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    started_s = time.time()
    llms: dict[str, LlmEngine] = {dtype: FrozenLLM.load(chosen.llm, dtype) for dtype in ("float32", chosen.dtype)}
    if chosen.gguf:
        llms["gguf"] = LlamaCppLLM.load(chosen.gguf, chosen.llm)
    speeds = measure_speeds(llms, chosen.tokens)
    questions = read_questions(chosen.questions)[: chosen.limit]
    said = {dtype: answers(llm, questions, chosen.tokens) for dtype, llm in llms.items()}

    def beside_float32(name: str) -> dict[str, Any]:
        ratio = round(speeds[name]["1"] / speeds["float32"]["1"], 2)
        return {"llm_tokens_s_ratio": ratio, **agreement(questions, said["float32"], said[name])}

    found = {
        **beside_float32("gguf" if chosen.gguf else chosen.dtype),
        "of": chosen.gguf.name if chosen.gguf else chosen.dtype,
        **({chosen.dtype: beside_float32(chosen.dtype)} if chosen.gguf else {}),
        "tokens_per_s": speeds,
        "questions": len(questions),
        "made": provenance(0, started_s),
    }
    put_figures(chosen.output, found)
    print(json.dumps({key: value for key, value in found.items() if key != "made"}, indent=1))


def measure_speeds(llms: Mapping[str, LlmEngine], tokens: int) -> dict[str, dict[str, float]]:
    """Tokens a second of each LLM by the number of rows, the median of some turns that they take."""
    found: dict[str, dict[str, list[float]]] = {name: {str(rows): [] for rows in ROWS} for name in llms}
    for _ in range(TURNS):
        for rows in ROWS:
            for name, llm in llms.items():
                found[name][str(rows)].append(speed(llm, rows, tokens))
    return {name: {rows: round(statistics.median(s), 1) for rows, s in one.items()} for name, one in found.items()}


@torch.no_grad()
def speed(llm: LlmEngine, rows: int, tokens: int) -> float:
    """Tokens a second, all rows together, after `READ_TOKENS` that each has read."""
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(0, llm.vocab_size, (rows, READ_TOKENS), generator=generator)
    caches = [llm.new_cache() for _ in range(rows)]
    everyone = [True] * rows
    llm.follow_rows(list(llm.embed(ids)), caches, everyone)
    next_ids = ids[:, -1:]
    begin = time.perf_counter()
    for _ in range(tokens):
        outputs = llm.follow_rows(list(llm.embed(next_ids)), caches, everyone)
        next_ids = torch.stack([output.logits for output in outputs]).argmax(-1, keepdim=True)
    return rows * tokens / (time.perf_counter() - begin)


def answers(llm: LlmEngine, questions: Sequence[Question], tokens: int) -> list[str]:
    """What the LLM says to each question in text, the likeliest token each time."""
    prompts = [llm.order.before_answer(SYSTEM, (), one.question) for one in questions]
    replies = [generate_batch(llm, [prompt], GenerationConfig(tokens))[0] for prompt in prompts]
    return [llm.tokenizer.decode(reply.ids, skip_special_tokens=True).strip() for reply in replies]


def agreement(questions: Sequence[Question], before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """Shares of the answers after a change: as useful as before, the same words; and how many are right."""
    same = [one.split() == other.split() for one, other in zip(before, after, strict=True)]
    right = [
        [is_right(answer, question.answers) for answer, question in zip(said, questions, strict=True)]
        for said in (before, after)
    ]
    kept = [alike or now >= was for alike, was, now in zip(same, *right, strict=True)]
    return {
        "llm_answer_equal": round(sum(kept) / len(kept), 4),
        "same_words": round(sum(same) / len(same), 4),
        "right": {"before": sum(right[0]), "after": sum(right[1])},
    }


if __name__ == "__main__":
    main()
