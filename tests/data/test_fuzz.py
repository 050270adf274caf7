"""Readers of tables and JSON on odd texts and damaged files: a result or one clear line, nothing lost unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data.checked_table import CheckedTable
from freeze_omni.data.corpora.base import CorpusError
from freeze_omni.data.corpora.json_dialogue import JsonDialogue
from freeze_omni.data.datadir import validate
from freeze_omni.data.datadir_fix import fix
from freeze_omni.data.kaldi_dir import read_sources
from freeze_omni.data.questions import read_published, read_questions
from freeze_omni.data.rows import read_objects, read_rows
from freeze_omni.data.tables import (
    TableError,
    read_dir,
    read_json,
    read_jsonl,
    read_lines,
    read_segments,
    read_table,
    write_jsonl,
    write_lines,
    write_table,
)
from freeze_omni.dialogues.plan import read_dialogues
from freeze_omni.eval.outputs import read_numbers, read_texts
from freeze_omni.eval.runner import read_records
from freeze_omni.eval.sets import read_histories, read_states
from tests.generate import COUNT, damaged, odd_texts

KNOWN = ["a", "b", "c"]
TABLE = ["a one two\nb three\nc 4 5\n", "a 0\tx\nb 1 2\n", "a rec 0.5 1.5\nb rec 1 2\n", 'a [["Hi", "Hello."]]\n']
QUESTION = {"id": "a", "question": "Who?", "answers": ["She", "Ann"], "kind": "k", "phrasing": "p", "fact": "f"}
ROWS = [QUESTION, {"id": "b", "rounds": [{"user": "Hi", "assistant": "Yes."}], "instruction": "Hi", "output": "Yes."}]
QUESTIONS = [json.dumps(QUESTION) + "\n" + json.dumps({**QUESTION, "id": "b"}) + "\n"]
SOURCES = ['{"set": "a", "source": "b", "voices": 3, "minutes": 0.5}\n{"set": "c", "source": "d"}\n']
DIALOGUES = [json.dumps(ROWS[1]) + "\n"]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
FILES = [
    LINES,
    json.dumps(ROWS),
    json.dumps(ROWS, indent=1),
    '{"id": "a", "text": "x\\ud83d\\ude00"}\n',
    "\ufeff" + LINES,
]
WEB = [
    '[{"qId": "w", "qText": "where?", "answers": ["Italy"]}]',
    '{"Data": [{"QuestionId": "t", "Question": "Who?", "Answer": {"Value": "She"}}]}',
]
OUTPUTS = ['{"id": "a", "pred": "x"}\n{"id": "b", "pred": "y", "text": "z"}\n', '[{"key": "a", "text": "x"}]']
TSV = ["question\tanswer\nWhere?\tItaly\n", 'id,text\na,"one,\ntwo"\n']


def dialogues(path: Path) -> list:
    corpus = JsonDialogue(path, held_out=0.0)
    return [item for part in corpus.sets(Path())["qa_train"] for item in corpus.read("qa_train", part)]


# reader -> name of its file, whole files, and how it is called
READERS: dict[str, tuple[str, list[str], Callable[[Path], object]]] = {
    "lines": ("x", TABLE, read_lines),
    "table": ("text", TABLE, read_table),
    "segments": ("segments", TABLE, read_segments),
    "states": ("states", TABLE, read_states),
    "numbers": ("takes", TABLE, read_numbers),
    "history": ("history", TABLE, lambda path: read_histories(path.parent)),
    "JSON": ("x.json", FILES, read_json),
    "JSON lines": ("x.jsonl", FILES, lambda path: list(read_jsonl(path))),
    "objects": ("x.json", FILES, lambda path: list(read_objects(path))),
    "CSV": ("x.csv", TSV, lambda path: list(read_rows(path))),
    "TSV": ("x.tsv", TSV, lambda path: list(read_rows(path))),
    "records": ("records.jsonl", FILES, read_records),
    "questions": ("questions.jsonl", QUESTIONS, read_questions),
    "published": ("x.json", FILES + WEB, read_published),
    "Llama questions": ("x.tsv", TSV, read_published),
    "sources": ("x.jsonl", SOURCES, read_sources),
    "dialogues": ("x.jsonl", DIALOGUES, read_dialogues),
    "corpus of dialogues": ("x.json", FILES, dialogues),
    "outputs in JSON": ("x.jsonl", OUTPUTS, lambda path: read_texts(path, KNOWN)),
    "outputs in a table": ("hyp", TABLE, lambda path: read_texts(path, KNOWN)),
    "outputs in trn": ("x.trn", ["one two (a)\nthree (s-b)\n"], lambda path: read_texts(path, KNOWN)),
    "outputs in CSV": ("x.csv", TSV, lambda path: read_texts(path, KNOWN)),
    "checked questions": ("questions.jsonl", FILES, lambda path: validate(path.parent, "qa")),
}
PART = COUNT // 4  # for each reader; there are more than four of tables, and of JSON
ERRORS = (TableError, ConfigError, CorpusError)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_told_in_one_line(name: str, memory_path: Path) -> None:
    file, whole, read = READERS[name]
    path, told = memory_path / file, 0
    for number, content in enumerate(damaged(whole, PART, seed=len(name))):
        path.write_bytes(content)
        try:
            read(path)
        except ERRORS as error:
            told += 1
            assert str(path) in str(error) and "\n" not in str(error), f"damage {number}: {error!r}"
    assert told < PART, "not even a whole file can be read"


@pytest.mark.parametrize("seed", range(4))
def test_tables_and_lines_keep_every_text(seed: int, memory_path: Path) -> None:
    texts = list(odd_texts(PART, seed))
    table = {f"u{number:04d}": text for number, text in enumerate(texts)}
    write_table(memory_path / "text", table)
    read = read_table(memory_path / "text", need_value=False)
    assert {key: value.strip() for key, value in table.items()} == read
    assert dict(CheckedTable(memory_path / "text", []).sorted_items()) == read
    write_lines(memory_path / "x", texts)
    assert read_lines(memory_path / "x") == [text.removesuffix("\r") for text in texts]
    write_jsonl(memory_path / "x.jsonl", texts)
    assert [row for _, row in read_jsonl(memory_path / "x.jsonl")] == texts


def test_an_odd_id_is_kept_or_refused(memory_path: Path) -> None:
    kept = 0
    for key in odd_texts(PART):
        try:
            write_table(memory_path / "text", {key: "words"})
        except TableError:
            continue
        kept += 1
        assert read_table(memory_path / "text") == {key: "words"}
    assert kept > PART // 10


def test_a_damaged_data_directory_is_checked_and_fixed(memory_path: Path) -> None:
    """After damage problems are lines, and what `fix` keeps can be read."""
    files = {
        "text": "a-1 one\na-2 two\nb-1 three\n",
        "utt2spk": "a-1 a\na-2 a\nb-1 b\n",
        "wav.scp": "a-1 cat x |\na-2 cat x |\nb-1 cat x |\n",
    }
    for content in damaged([files["text"]], PART // 5):
        for name, whole in files.items():
            (memory_path / name).write_text(whole)
        (memory_path / "text").write_bytes(content)
        problems = validate(memory_path, "asr")
        assert all("\n" not in str(problem) for problem in problems)
        try:
            kept, _, _ = fix(memory_path)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
            continue
        assert kept == len(read_dir(memory_path)[2])
