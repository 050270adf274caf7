"""How many speech tokens each row of a text takes, for whole data directories of any size.

What rows sound like is learned once, from some ten minutes of all directories, drawn at random. By that, each utterance
is timed for itself: the directories are cut into pieces, which processes and jobs share.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from freeze_omni.data.corpora.shards import write_sorted
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.data.parts import WHOLE, LeftToOthers, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.table_file import TableFile
from freeze_omni.data.tables import each_line, write_lines
from freeze_omni.llm.source import check_source, read_tokenizer
from freeze_omni.speech_decoder.normalise import TextStyle, spoken_ids
from freeze_omni.speech_decoder.timing.acoustics import Acoustics, features_of

DURATIONS = "durations"
PIECE_UTTERANCES = 64
ENOUGH_FRAMES = 60_000  # ten minutes teach what some forty letters sound like
_PIECES, _ACOUSTICS = ".durations", "acoustics.pt"  # next to the tokens, until all are timed


class TimedSet(NamedTuple):
    """Files of a set: its sounds, texts and tokens. The durations are written next to the tokens."""

    wavs: Path
    texts: Path
    tokens: Path

    @property
    def pieces(self) -> Path:
        return self.tokens.parent / _PIECES


@dataclass(frozen=True)
class TextRows:
    """Which rows a decoder reads: tokens of an LLM, a folder or hub id, for a text in units and style of stage 2.2."""

    llm: str
    text_units: str
    style: TextStyle


class Utterance(NamedTuple):
    uid: str
    rows: list[str]
    sound: str
    tokens: int


def write_durations(sets: Sequence[TimedSet], rows: TextRows, nj: int = 1, part: Part = WHOLE) -> int:
    """Write `durations` next to the tokens of each set, in C order; returns the number of utterances.

    part: times its pieces alone. Raises LeftToOthers until the first part has learned what the rows sound like.
    Utterances without sound, text or rows are left out. Finished pieces are kept until all are done, and memory does
    not grow with the sets. Raises TableError, AudioError, LlmError; ValueError: no text has a letter.
    """
    made_from = _made_from(sets, rows)
    with one_thread():
        if Acoustics.load(sets[0].pieces / _ACOUSTICS, made_from) is None:
            if part.number == 1:
                _learn(sets, rows, made_from)
            if not part.alone:
                raise LeftToOthers("what the texts sound like")
        work = partial(_time, sets=tuple(sets), rows=rows, made_from=made_from)
        cut = [TableFile(one.tokens).pieces(PIECE_UTTERANCES) for one in sets]
        pieces = [(at, piece) for at, own in enumerate(cut) for piece in own]
        count = sum(parallel_map(work, part.of(pieces), nj, "time_text"))
    if not part.alone:
        return count
    for one, own in zip(sets, cut, strict=True):
        timed = (_piece(one, piece) for piece in own)
        write_sorted(one.tokens.with_name(DURATIONS), chain.from_iterable(map(each_line, timed)))
    for one in sets:
        shutil.rmtree(one.pieces)
    return count


def _made_from(sets: Sequence[TimedSet], rows: TextRows) -> str:
    """A digest of all that durations depend on; of the LLM its files of text, with the tokenizer's."""
    llm = [path for path in sorted(Path(rows.llm).glob("*")) if path.suffix in (".json", ".model", ".txt")]
    read = [fingerprint(path) for path in (*chain.from_iterable(sets), *llm)]
    return hashlib.sha256(repr((read, rows)).encode()).hexdigest()


def _piece(one: TimedSet, piece: range) -> Path:
    return one.pieces / f"{piece.start:08d}-{piece.stop:08d}"


class Tables(NamedTuple):
    wavs: TableFile
    texts: TableFile
    tokens: TableFile


def _open(one: TimedSet) -> Tables:
    return Tables(*map(TableFile, one))


@lru_cache(maxsize=1)
def _opened(sets: tuple[TimedSet, ...], rows: TextRows, made_from: str) -> tuple[list[Tables], Any, Acoustics | None]:
    """Tables, tokenizer and, if it is known, what rows sound like; a process opens them once."""
    tokenizer = read_tokenizer(check_source(rows.llm))
    return list(map(_open, sets)), tokenizer, Acoustics.load(sets[0].pieces / _ACOUSTICS, made_from)


def _utterances(tables: Tables, lines: Sequence[int], rows: TextRows, tokenizer: Any) -> Iterator[Utterance]:
    """Of lines of the tokens; training leaves out those without sound or text, and says so."""
    sound_of, text_of = tables.wavs.finder(), tables.texts.finder()
    for line in lines:
        uid, tokens = tables.tokens.item(line)
        sound, text = sound_of(uid), text_of(uid)
        if sound is None or text is None:
            continue
        ids = spoken_ids(tables.texts.item(text)[1], tokenizer, rows.text_units, rows.style)
        if ids:
            written = [tokenizer.decode([one]) or " " for one in ids]
            yield Utterance(uid, written, tables.wavs.item(sound)[1], len(tokens.split()))


def _learn(sets: Sequence[TimedSet], rows: TextRows, made_from: str) -> None:
    """Of utterances of all sets in a drawn order, as many as are enough; what was timed by others is removed."""
    for one in sets:
        shutil.rmtree(one.pieces, ignore_errors=True)
    tables, tokenizer, _ = _opened(tuple(sets), rows, made_from)
    _opened.cache_clear()  # it knows no acoustics yet
    begins = np.cumsum([0, *(len(one.tokens) for one in tables)])
    heard: dict[int, tuple[Tensor, str]] = {}
    frames = 0
    for place in map(int, np.random.default_rng(0).permutation(begins[-1])):
        at = int(np.searchsorted(begins, place, side="right")) - 1
        for one in _utterances(tables[at], [place - int(begins[at])], rows, tokenizer):
            heard[place] = features_of(one.sound), "".join(one.rows)
            frames += len(heard[place][0])
        if frames >= ENOUGH_FRAMES:
            break
    print(f"time_text: learning what letters sound like from {len(heard)} utterances", flush=True)
    features, texts = zip(*(heard[place] for place in sorted(heard)), strict=True) if heard else ((), ())
    Acoustics.learn(features, texts).save(sets[0].pieces / _ACOUSTICS, made_from)


def _time(piece: tuple[int, range], sets: tuple[TimedSet, ...], rows: TextRows, made_from: str) -> int:
    """Write the durations of a piece, if they are not there; returns the number of utterances."""
    at, lines = piece
    path = _piece(sets[at], lines)
    if not path.exists():
        with one_thread():
            tables, tokenizer, acoustics = _opened(sets, rows, made_from)
            assert acoustics is not None
            found = list(_utterances(tables[at], lines, rows, tokenizer))
            features = [features_of(one.sound) for one in found]
            timed = acoustics.durations(features, ["".join(one.rows) for one in found], [one.tokens for one in found])
        written = (by_row(one.rows, each) for one, each in zip(found, timed, strict=True))
        write_lines(path, (f"{one.uid} {' '.join(map(str, row))}" for one, row in zip(found, written, strict=True)))
        return len(found)
    return sum(1 for _ in each_line(path))


def by_row(rows: Sequence[str], characters: Sequence[int]) -> list[int]:
    """The numbers of characters, added up by the rows that they stand in."""
    left = iter(characters)
    return [sum(islice(left, len(row))) for row in rows]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of floats depend on the threads that share them, which are not as many in every job."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
