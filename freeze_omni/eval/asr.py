"""Speech input: transcripts by the CTC head at several chunk sizes, and by the LLM; WER and CER.

With a judge, sets that were made elsewhere are transcribed by it, too: what could be had with another recogniser.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freeze_omni.checkpoint import PartsSource
from freeze_omni.config import ConfigError
from freeze_omni.data.tables import TableError, read_table, write_table
from freeze_omni.eval import paper
from freeze_omni.eval.batch import decoded, greedy_answers, hear, texts
from freeze_omni.eval.config import LLM, AsrDecodeConfig, DecodeConfig
from freeze_omni.eval.judge import JUDGED, judged_sounds
from freeze_omni.eval.outputs import match_texts, read_texts
from freeze_omni.eval.report import Found, Report, Section, number, rate, table
from freeze_omni.eval.runner import DecodeJob, Units, data_of
from freeze_omni.eval.sets import Outside, first_keys, length_batches, sound_batches
from freeze_omni.eval.wer import error_rate, normaliser
from freeze_omni.listening import ListeningOutput
from freeze_omni.llm.tuned import PART

JUDGE = "judge"  # the way of a transcript that is not the model's


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write records.jsonl, `text.<way>` for each of `config.ways` that there is, and `text`, a copy of the first."""
    config = replace(job.config.asr, llm=job.llm is not None) if job.partial else job.config.asr
    table, outside = read_table(job.data / "wav.scp"), Outside.of(job.data)
    keys = sorted(table) if outside else first_keys(table, config.utterances)
    by_llm = set(first_keys(dict.fromkeys(keys), config.llm_utterances)) if config.llm else set()

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = _load(job, config)
        hz = model.rates.input_hz
        for batch, sounds in sound_batches(table, todo, hz, outside.tail_s if outside else 0):
            heard = None if model.encoder.knows_chunks else hear(model, sounds)
            texts = transcribe(model, sounds, heard, config)
            chosen = [index for index, key in enumerate(batch) if key in by_llm and model.has("task_tokens")]
            if chosen:
                some, at = (heard, chosen) if heard else (hear(model, [sounds[i] for i in chosen]), range(len(chosen)))
                for index, text in zip(
                    chosen, written_transcripts(model, some, at, config.llm_max_tokens), strict=True
                ):
                    texts[index][LLM] = text
            found = zip(batch, sounds, texts, strict=True)
            yield [{"id": key, "seconds": len(sound) / hz, "texts": texts} for key, sound, texts in found]

    if outside:
        judged_sounds(job, {key: table[key] for key in keys}, needed=False)
    records = job.run("asr", length_batches(table, keys, config.batch), (config, outside), work)
    for way in config.ways:
        said = {key: record["texts"][way] for key, record in records.items() if way in record["texts"]}
        if said:
            write_table(job.output / f"text.{way}", said)
    job.finish({key: record["texts"][config.ways[0]] for key, record in records.items()})
    return records


def _load(job: DecodeJob, config: AsrDecodeConfig) -> Any:
    if job.partial and job.units is None:
        raise ConfigError(f"{job.model}: an encoder needs its units: give --units, such as data/token_list")
    described = PartsSource(job.model, ()).described() if job.partial else {}
    parts = [*(["frontend"] if described.get("frontend") else []), "encoder", "ctc"]
    if job.partial and config.llm:
        parts += ["adapter", "task_tokens", *([PART] if described.get(PART) else [])]
    model = job.load(*parts)
    if not model.transcribes:
        raise ConfigError(f"{job.model}: no CTC head (an imported model?), so no transcripts: leave ASR out")
    if config.llm and not model.has("task_tokens"):
        print(f"{job.model}: has no task tokens, so the LLM writes no transcripts (asr: llm)", file=sys.stderr)
    return model


@torch.no_grad()
def transcribe(
    model: Any, sounds: Sequence[np.ndarray], heard: ListeningOutput | None, config: AsrDecodeConfig
) -> list[dict[str, str]]:
    """The CTC head's transcripts of each sound (S,) by the names of the ways. heard: what the model heard, if that does
    not depend on the size of a chunk."""
    found = [texts(model, heard or hear(model, sounds, size)) for size in config.chunk_sizes]
    ways = [way for way in config.ways if way != LLM]
    return [dict(zip(ways, row, strict=True)) for row in zip(*found, strict=True)]


@torch.no_grad()
def written_transcripts(model: Any, heard: ListeningOutput, chosen: Iterable[int], max_new_tokens: int) -> list[str]:
    """What the LLM writes after task tokens and each sound whose number is chosen, as trained in stage 1.2."""
    adapted, tasks = heard.adapted, model.task_tokens.weight
    rows = [torch.cat([tasks, adapted.embeds[index, : adapted.lengths[index]].to(tasks.dtype)]) for index in chosen]
    return [decoded(model.llm, ids) for ids in greedy_answers(model.llm, rows, max_new_tokens)]


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    """Error rates of each set by chunk size, by the LLM and the judge if any, each with its CER under `characters`."""
    figures: dict[str, dict[str, Any]] = {}
    for folder in [path.parent for path in sorted(root.glob("asr_*/decode.json"))]:
        references, found = read_table(data_of(folder) / "text"), {}
        clean = normaliser(config.score.of(data_of(folder).name).normaliser)
        figures[folder.name.removeprefix("asr_")] = found
        files = {way: folder / f"text.{way}" for way in config.asr.ways}
        if not files.get(LLM, folder).exists():  # a model without task tokens
            del files[LLM]
        if (judged := folder / JUDGED / "text.judge").exists():
            files[JUDGE] = judged
        for way, file in files.items():
            heard = {key: clean(text) for key, text in read_table(file, need_value=False).items()}
            if gone := next((key for key in heard if key not in references), None):
                raise TableError(f"{folder}: {gone} is no more in {data_of(folder)}/text; decode again")
            wanted = {key: clean(references[key]) for key in heard}
            found[way] = error_rate(wanted, heard, "none").as_dict()
            found[way]["characters"] = error_rate(wanted, heard, "characters").as_dict()
    return {"asr": figures}


def _rows(models: Found) -> list[str]:
    rows, ways = [], ("chunk4", "chunk_inf", LLM, JUDGE)
    for model, asr in models:
        for test_set, found in asr.items():
            others = ", ".join(f"{name} {rate(one)}" for name, one in found.items() if name not in ways)
            first = next(iter(found.values()))
            cells = [*(rate(found.get(name)) for name in ways), others or "-", rate(first.get("characters"))]
            rows.append([model, test_set, *cells, first["words"]])
    head = ["model", "test set", "chunk = 4", "chunk = infinity", "by the LLM", "by the judge", "other chunks"]
    head += ["CER, first column", "words"]
    return table(head, rows)


_PAPER = "test-clean 4.05 at chunk = 4, 3.24 at chunk = infinity (110,000 h, 350 M encoder)"
SECTIONS = (Section("Speech input: WER in percent", "asr", _rows, _PAPER),)


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """Rows: each way in which the model was decoded, or the one transcript of the outputs."""
    references, name = read_table(args.data / "text"), args.set or args.data.name
    notes: list[str] = []
    if args.model is not None:
        records = decode(DecodeJob.of(args, config, args.output / f"asr_{name}"))
        ways = sorted({way for record in records.values() for way in record["texts"]})
        found = {way: {key: record["texts"].get(way, "") for key, record in records.items()} for way in ways}
    else:
        found = {"given": read_texts(args.outputs, list(references), args.fields)}
        notes = match_texts(references, found["given"], args.outputs, args.data / "text")
    figures = {}
    for way, heard in found.items():
        heard = {key: heard.get(key, "") for key in references}
        figures[way] = error_rate(references, heard, args.normaliser).as_dict()
    theirs = paper.ASR.get(paper.same_set(name))
    shown = " | ".join(number(value) for value in theirs) if theirs else "-"
    rows = [
        [way, rate(one), str(one["words"]), f"{one['substitutions']} {one['deletions']} {one['insertions']}", shown]
        for way, one in figures.items()
    ]
    if theirs:
        notes.append(f"the paper's figures: {', '.join(paper.ASR_NAMES)}")
    notes.append("in brackets: 95 % bootstrap interval over utterances")
    head = ["", "errors in %", "reference words", "sub del ins", "paper"]
    title = f"Speech input, {name}, {len(references)} utterances, normaliser {args.normaliser}"
    return Report(title, head, rows, {"set": name, "normaliser": args.normaliser, "asr": figures}, notes)
