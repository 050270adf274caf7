"""Which field of another system's rows is its output and which the id, and which item of a test set an id means.

A reference beside an output is never taken for it. An id may be the item's own, its number, or another name of it.
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError, one_line
from freeze_omni.data.tables import TableError

# Names that systems give to what they said, and nobody to a reference.
OUTPUT = (
    *("prediction", "pred", "pred_text", "pred_answer", "predicted", "predicted_text", "hypothesis", "hyp", "hyp_text"),
    *("model_response", "infer_response", "output_text", "model_output", "model_answer"),
    *("generated", "generated_text", "generated_answer"),
)
# Names of outputs, but of references in data sets of instructions: taken if the role of all other fields is known.
LIKELY = ("response", "output")
REFERENCE = (
    *("reference", "ref", "reference_text", "reference_answer", "target", "target_text", "label", "gold"),
    *("gold_answer", "gt", "ground_truth", "expected", "expected_answer", "official_answer", "answers", "wrd"),
)
# Names of outputs in some files, and of references or questions in others.
UNSURE = ("text", "answer", "transcript", "transcription")
ID = ("id", "ID", "utt", "utt_id", "utterance_id", "utterance", "key", "qid", "question_id", "audio_id", "sample_id")
AUDIO = ("audio_filepath", "audio_path", "audio", "wav_path", "wav", "audio_filename", "file_name", "filename", "path")
# Names that stand beside an output and are neither it nor a reference; beside an unsure name, nothing else may.
BESIDE = (
    *("question", "prompt", "instruction", "language", "lang", "speaker", "model", "system"),
    *("score", "confidence", "latency", "seconds"),
)
_SHOWN = 8
ROW = "row"  # as a field: the place of the row in the test set's order
PAIR = "pair"  # as the form: each row is {id: text}
TABLE = "table"  # as the form: lines `id words`
TRN = "trn"  # as the form: lines `words (id)`
Rows = Sequence[tuple[str, Mapping[str, Any]]]  # where a row is, and its fields
Columns = Sequence[Sequence[str]]  # further names of all items, such as those of their sounds, a column each
_NUMBER = re.compile(r"((?:web-|llama-)?)([0-9]{1,9})")  # ids that are given by counting, as 0003 or web-00003


@dataclass(frozen=True)
class Fields:
    """Names of the fields, "" where the rows show it; ROW counts rows. form: PAIR, TABLE, TRN: there are no fields.

    option: of the command line, which errors name.
    """

    id: str = ""
    output: str = ""
    form: str = ""
    option: str = "--field"


UNNAMED = Fields()
LAYOUTS: dict[str, Fields] = {
    "kaldi": Fields(form=TABLE),
    "llama_omni": Fields("question_id", "prediction"),
    "nemo": Fields("audio_filepath", "pred_text"),
    "openaudiobench": Fields(ROW, "infer_response"),
    "sclite": Fields(form=TRN),
    "uro_bench": Fields(form=PAIR),
    "versa": Fields(form=TABLE),
    "voicebench": Fields(ROW, "response"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """--layout and --field, which `chosen` reads."""
    layout = "who wrote the texts of --outputs, if its fields do not show it"
    parser.add_argument("--layout", choices=sorted(LAYOUTS), help=layout)
    field = f"fields of --outputs: output=NAME id=NAME; id={ROW}: its rows are in the test set's order"
    parser.add_argument("--field", nargs="+", action="extend", default=[], metavar="WHAT=NAME", help=field)


def chosen(layout: str | None, words: Iterable[str], option: str = "--field") -> Fields:
    """The fields that options name. Raises ConfigError."""
    found = replace(LAYOUTS[layout] if layout else UNNAMED, option=option)
    for word in words:
        what, _, name = word.partition("=")
        if what not in ("id", "output") or not name:
            raise ConfigError(f"{option} {word}: expected output=NAME or id=NAME")
        found = replace(found, **{what: name})
    return found


def texts_of(path: Path, rows: Rows, fields: Fields, known: Sequence[str]) -> dict[str, str]:
    """Id to output of the rows; null is no output. known: the test set's ids in order, if any. Raises TableError."""
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    if not names:
        raise TableError(f"{path}: no row in it; correct --outputs")
    if fields.form == PAIR or (not fields.id and not fields.output and known and set(names) <= set(known)):
        found = [(where, key, text) for where, row in rows for key, text in row.items()]
    else:
        output = fields.output or _output_of(path, names, fields.option)
        keys = _keys_of(path, names, rows, fields, known)
        _require(output, f"{fields.option} output=NAME", rows)
        found = [(where, key, row[output]) for (where, row), key in zip(rows, keys, strict=True)]
    texts: dict[str, str | None] = {}
    for where, key, text in found:
        if key in texts:
            raise TableError(f"{where}: the id {one_line(key)} comes twice; remove one row")
        if isinstance(text, bool | list | dict):
            raise TableError(f"{where}: the output is no text; name another field with {fields.option} output=NAME")
        texts[key] = None if text is None else str(text)
    return {key: text for key, text in texts.items() if text is not None}


def _output_of(path: Path, names: Sequence[str], option: str) -> str:
    """The one field that is the output: by its name, or since all others are known to be something else."""
    sure = [name for name in names if name in (*OUTPUT, *LIKELY)]
    unsure = [name for name in names if name in UNSURE]
    strange = set(names) - {*OUTPUT, *LIKELY, *UNSURE, *REFERENCE, *ID, *AUDIO, *BESIDE}
    if len(sure) == 1 and (sure[0] in OUTPUT or not strange):
        return sure[0]
    beside = strange or {*REFERENCE, "audio_filepath"} & set(names)  # with the last, `text` is the reference
    if len(unsure) == 1 and not sure and not beside:
        return unsure[0]
    doubt = f"{', '.join(sure)} may each be" if len(sure) > 1 else f"any of {_listed(names)} may be"
    raise TableError(f"{path}: {doubt} the output; name its field with {option} output=NAME")


def _keys_of(path: Path, names: Sequence[str], rows: Rows, fields: Fields, known: Sequence[str]) -> list[str]:
    if fields.id == ROW:
        if len(rows) != len(known):
            raise TableError(f"{path}: {len(rows)} rows, but {len(known)} in the test set: their order shows no ids")
        return list(known)
    if fields.id:
        _require(fields.id, f"{fields.option} id=NAME", rows)
    there = [fields.id] if fields.id else [name for name in (*ID, *AUDIO) if all(name in row for _, row in rows)]
    columns = {name: [_key(name, row[name]) for _, row in rows] for name in there}
    fitting = {name: keys for name, keys in columns.items() if not set(known).isdisjoint(keys)} or columns
    if not fitting:
        fix = f"{fields.option} id=NAME, or id={ROW} if its rows are in the test set's order"
        raise TableError(f"{path}: no field is known as the id ({_listed(names)}); name it with {fix}")
    name, keys = next(iter(fitting.items()))
    if known and (other := next((one for one in fitting if one in ID and fitting[one] != keys), None)):
        raise TableError(f"{path}: {name} or {other} may be the id; name it with {fields.option} id=NAME")
    return keys


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*map(one_line, names[:_SHOWN]), *(["..."] if len(names) > _SHOWN else [])])


def _require(field: str, fix: str, rows: Rows) -> None:
    for where, row in rows:
        if field not in row:
            raise TableError(f"{where}: no field '{field}'; correct the row, or name another with {fix}")


def _key(name: str, value: Any) -> str:
    """An id, or the name of a sound file without folder and ending."""
    return Path(str(value)).stem if name in AUDIO else str(value)


def by_known_ids[T](found: Mapping[str, T], known: Sequence[str], where: Path, others: Columns = ()) -> dict[str, T]:
    """`found` under the test set's ids. known: these, in its order; where they only count, a number is a number.

    Raises TableError if the ids count from somewhere else than the test set, or if two columns have them all and
    disagree. What no column has in full stays as it is.
    """
    ways = {tuple(way) for way in _ways(list(found), known, others) if None not in way}
    if len(ways) > 1:
        fix = f"write them as {known[0]}, ..."
        raise TableError(f"{where}: its ids may be numbers of items, or names of theirs such as their sounds'; {fix}")
    if ways:
        (ids,) = ways
        if len(set(ids)) < len(ids):
            raise TableError(f"{where}: two of its ids are the same number; remove one")
        return dict(zip(ids, found.values(), strict=True))
    numbers = [number for number in _numbers(list(found), known) if number >= 0]
    if numbers and (0 not in numbers or max(numbers) >= len(known)):
        ours = f"the test set's from 0 to {len(known) - 1}"
        raise TableError(f"{where}: its ids count from {min(numbers)} to {max(numbers)}, {ours}; correct the ids")
    return dict(found)


def _ways(found: Sequence[str], known: Sequence[str], others: Columns) -> Iterator[list[str | None]]:
    """The items that `found` means in each column, None for none."""
    exact = others if _counts(known) else (known, *others)
    for column in exact:
        items = dict(zip(column, known, strict=True))
        if len(items) == len(known):
            yield [items.get(key) for key in found]
    if 0 in (numbers := _numbers(found, known)):  # else they may count from 1
        yield [known[number] if 0 <= number < len(known) else None for number in numbers]


def _numbers(found: Sequence[str], known: Sequence[str]) -> list[int]:
    """The numbers of ids found, -1 for what is none; nothing where the test set does not count."""
    if not _counts(known):
        return []
    own, matches = _NUMBER.fullmatch(known[0]), [_NUMBER.fullmatch(key) for key in found]
    return [int(match[2]) if match and match[1] in ("", own and own[1]) else -1 for match in matches]


def _counts(known: Sequence[str]) -> bool:
    """Whether the ids are numbers from 0."""
    matches = [_NUMBER.fullmatch(key) for key in known]
    return bool(known) and [match and int(match[2]) for match in matches] == list(range(len(known)))
