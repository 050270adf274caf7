"""Test sets: Kaldi tables, questions, scenes, and batches of their sound."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freeze_omni.config import build
from freeze_omni.data import tables
from freeze_omni.data.audio import length_s, read_audio
from freeze_omni.data.ids import check_ids
from freeze_omni.data.rows import read_objects
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.llm.order import Rounds, parse_rounds
from freeze_omni.shapes import pad_rows

_SORTED = 1000  # utterances that are sorted by length together


@dataclass(frozen=True)
class Outside:
    """`outside.json` of a set that was made elsewhere, and is decoded whole.

    sound: where it is from. tail_s: silence to be heard after each sound. left_out: ids of questions that were left
    out, as they are in training texts.
    """

    sound: str
    tail_s: float
    left_out: tuple[str, ...] = ()

    FILE = "outside.json"

    @classmethod
    def of(cls, data: Path) -> Outside | None:
        """That of a data directory; None if it has none. Raises ConfigError, TableError."""
        path = data / cls.FILE
        return build(cls, next(row for _, row in json_lines(path)), str(path)) if path.is_file() else None


def first_keys(table: Mapping[str, object], limit: int) -> list[str]:
    """At most `limit` ids, spread evenly over the sorted table, so that no speaker is favoured. Raises TableError."""
    check_ids(table, "--data")  # decodings are files with these names
    keys = sorted(table)
    return keys if len(keys) <= limit else [keys[i * len(keys) // limit] for i in range(limit)]


def length_batches(table: Mapping[str, str], keys: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Batches of ids of similar length, by the set alone. Raises AudioError."""
    batches: list[tuple[str, ...]] = []
    for some in batched(keys, _SORTED):
        batches += batched(sorted(some, key=lambda key: length_s(table[key])), size)
    return batches


def sound_batches(
    table: Mapping[str, str], batches: Iterable[Sequence[str]], hz: int, tail_s: float = 0.0
) -> Iterator[tuple[Sequence[str], list[np.ndarray]]]:
    """Ids of each batch and their samples (S_i,) at `hz`. tail_s: silence to add. Raises AudioError."""
    tail = (0, round(tail_s * hz))
    for batch in batches:
        yield batch, [np.pad(read_audio(table[key], hz)[0], tail) for key in batch]


def stack(sounds: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Samples (S_i,) to one tensor (B, max S), zero-padded, and lengths (B,)."""
    return pad_rows([torch.from_numpy(np.ascontiguousarray(sound)) for sound in sounds])


def json_lines(
    path: Path, error: type[ValueError] = TableError, hint: str = "run the stage that makes it"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON objects, each after its place (`read_objects`). hint: what to do if the file is missing. Raises `error`."""
    if not path.is_file():
        raise error(f"{path}: no such file; {hint}")
    try:
        yield from read_objects(path)
    except TableError as fault:
        raise error(str(fault)) from None


def write_json(path: Path, content: object) -> None:
    """Whole or not at all, as JSON that reads well in a diff."""
    tables.write_lines(path, [json.dumps(content, indent=1, ensure_ascii=False)])


def read_jsonl(path: Path) -> dict[str, dict[str, Any]]:
    """Objects by their id. Raises TableError with the line that cannot be used."""
    found = {}
    for where, item in json_lines(path):
        if "id" not in item:
            raise TableError(f"{where}: no 'id'; correct the line")
        found[item["id"]] = item
    return found


def read_states(path: str | Path) -> dict[str, list[int]]:
    """Labels of every chunk (0, 1, 2, -1 for none) by id. Raises TableError."""
    states = {}
    for number, (key, value) in enumerate(read_table(path).items(), start=1):
        try:
            states[key] = [*map(int, value.split())]
        except ValueError:
            raise TableError(f"{path}:{number}: {key} has a state that is not a number; run stage 4 again") from None
    return states


def read_histories(data: Path) -> dict[str, Rounds]:
    """Earlier rounds of all but the first turns of dialogues, from the table `history`. Raises TableError."""
    path, found = data / "history", {}
    for key, line in (read_table(path) if path.is_file() else {}).items():
        try:
            found[key] = parse_rounds(line)
        except ValueError:
            raise TableError(f"{path}: {key} has no JSON list of [user text, answer]; run stage 4 again") from None
    return found


def asked(data: Path) -> list[str]:
    """Utterances to ask: those whose question has reference answers, and later rounds.

    All, if no question has any: dialogues are then scored against the LLM's answers to the same text.
    """
    named = read_table(data / "utt2question") if (data / "utt2question").is_file() else None
    if answers := question_answers(data):
        later = set(read_histories(data))  # of scenes without a question, too
        return sorted({*answers, *(later if named is None else later & set(named))})
    return sorted(named or ())


def whole_dialogues(keys: Sequence[str], histories: Mapping[str, Rounds], limit: int) -> list[str]:
    """All rounds of at most `limit` dialogues, spread evenly."""
    rounds: dict[str, list[str]] = {}
    for key in sorted(keys):
        first = key.removesuffix(f"-round{len(histories.get(key, ())) + 1}")
        rounds.setdefault(first, []).append(key)
    return [key for first in first_keys(rounds, limit) for key in rounds[first]]


def question_answers(data: Path) -> dict[str, list[str]]:
    """Reference answers by utterance, if its question has any; without utt2question they share their ids."""
    questions, path = read_jsonl(data / "questions.jsonl"), data / "utt2question"
    named = read_table(path) if path.is_file() else {key: key for key in questions}
    found = {key: questions.get(question, {}).get("answers") for key, question in named.items()}
    return {key: answers for key, answers in found.items() if answers}
