"""Parts of a corpus become shards, and shards become the tables of a set: no process holds a set in memory.

A shard is a folder of sorted tables, written whole or not at all: processes work independently, and a killed run
resumes with the missing shards.
"""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from freeze_omni.data.archives import file_of
from freeze_omni.data.audio import AudioError, AudioHeader, read_header
from freeze_omni.data.corpora.base import Corpus, CorpusError, Dialogue, Item, Skipped, Utterance
from freeze_omni.data.datadir import unprintable
from freeze_omni.data.ids import id_fault
from freeze_omni.data.tables import each_line, whole_file, write_lines

REPORT = "report.json"
SKIPPED = "skipped"
TABLES = ("dialogues.jsonl", "questions.jsonl", "segments", SKIPPED, "text", "utt2spk", "wav.scp")
_BLANKS = re.compile(r"\s+")
_NO_TABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_HALF_A_SIGN = re.compile(r"[\ud800-\udfff]")
_SORT = {**os.environ, "LC_ALL": "C"}
_SLACK_S = 0.1  # a segment may end this much after its recording


@dataclass(frozen=True)
class Shard:
    """Some parts of one set, and the folder of its tables."""

    name: str
    parts: tuple[str, ...]
    folder: Path
    fingerprint: str


@dataclass
class Tables:
    """Lines of a set by file, and reasons for what was skipped."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    kept: int = 0

    def add(self, file: str, line: str) -> None:
        self.lines.setdefault(file, []).append(line)

    def skip(self, where: str, reason: str) -> None:
        self.reasons[re.sub(r"\d+", "N", reason)] += 1
        where = where.encode(errors="backslashreplace").decode()  # a file's name may be no Unicode
        self.add(SKIPPED, f"{_BLANKS.sub(' ', where)}\t{reason}")


def write_shard(shard: Shard, corpus: Corpus, lower: bool, check_audio: bool) -> dict[str, object]:
    """Read the parts of a shard and write its tables; returns its report (kept, reasons). A finished one is kept."""
    done = shard.folder / REPORT
    if done.is_file():
        report = json.loads(done.read_text(encoding="utf-8"))
        if report["fingerprint"] == shard.fingerprint:
            return report
    shutil.rmtree(shard.folder, ignore_errors=True)
    tables = Tables()
    headers: dict[str, AudioHeader | str] = {}
    for part in shard.parts:
        headers.clear()
        for item in corpus.read(shard.name, part):
            _add(tables, item, headers, lower, check_audio)
    for file, lines in tables.lines.items():
        write_lines(shard.folder / file, sorted(set(lines) if file == "wav.scp" else lines))
    report = {"kept": tables.kept, "reasons": dict(tables.reasons), "fingerprint": shard.fingerprint}
    write_lines(done, [json.dumps(report, ensure_ascii=False)])
    return report


def _add(tables: Tables, item: Item, headers: dict, lower: bool, check_audio: bool) -> None:
    if isinstance(item, Skipped):
        return tables.skip(item.where, item.reason)
    if isinstance(item, Dialogue):
        return _add_dialogue(tables, item)
    text = _BLANKS.sub(" ", item.text).strip()
    reason = _name_problem(item) or ("an empty transcript" if not text else None)
    if reason is None and unprintable(text):
        reason = "an unprintable character in the transcript"
    if reason is None and check_audio:
        reason = _audio_problem(item, headers)
    if reason is not None:
        return tables.skip(f"{item.id} {item.audio}", reason)
    tables.kept += 1
    tables.add("wav.scp", f"{item.recording or item.id} {item.audio}")
    tables.add("text", f"{item.id} {text.lower() if lower else text}")
    tables.add("utt2spk", f"{item.id} {item.speaker}")
    if item.recording:
        tables.add("segments", f"{item.id} {item.recording} {item.start_s:.3f} {item.end_s:.3f}")


def _name_problem(item: Utterance) -> str | None:
    """Why a name cannot stand in a table: names of a corpus are neither paths, nor options, nor commands."""
    if fault := id_fault(item.id) or (item.recording and id_fault(item.recording)):
        return fault
    if fault := id_fault(item.speaker):
        return f"the speaker's name: {fault}"
    if file_of(item.audio) != (item.audio, 0):
        return "the name of the audio file ends as a command or a place in an archive does"
    if item.audio != item.audio.strip() or _NO_TABLE.search(item.audio):
        return "a line end, or a blank at an end, in the name of the audio file"
    return None


def _audio_problem(item: Utterance, headers: dict[str, AudioHeader | str]) -> str | None:
    """Why the sound cannot be used; a recording is checked once for all its segments."""
    if item.audio not in headers:
        try:
            headers[item.audio] = read_header(item.audio)
        except AudioError as error:
            headers[item.audio] = str(error)
    header = headers[item.audio]
    if isinstance(header, str):
        return header
    if item.recording:
        if not 0 <= item.start_s < item.end_s:
            return "the segment does not end after its start"
        if item.end_s > header.samples / header.rate_hz + _SLACK_S:
            return "the segment ends after its recording"
    return None


def _add_dialogue(tables: Tables, item: Dialogue) -> None:
    """A dialogue, and its first question as in the role qa, without answers: the LLM gives its own."""
    reason = id_fault(item.id)
    if reason is None and any(_HALF_A_SIGN.search(text) for one in item.rounds for text in one):
        reason = "a character that is no Unicode"
    if reason is not None:
        return tables.skip(item.id, reason)
    tables.kept += 1
    rounds = [{"user": user, "assistant": assistant} for user, assistant in item.rounds]
    question = {"id": item.id, "question": item.rounds[0][0], "answers": [], "kind": item.kind}
    question |= {"phrasing": "as written", "fact": item.id}
    dialogue = {"id": item.id, "kind": item.kind, "rounds": rounds}
    tables.add("questions.jsonl", json.dumps(question, ensure_ascii=False))
    tables.add("dialogues.jsonl", json.dumps(dialogue, ensure_ascii=False))


def merge_shards(folders: Sequence[Path], output: Path, tables: Sequence[str] = TABLES) -> None:
    """Write the tables that any shard has, and spk2utt; remove others. Raises CorpusError for a duplicate id."""
    output.mkdir(parents=True, exist_ok=True)
    for table in tables:
        parts = [str(folder / table) for folder in folders if (folder / table).is_file()]
        if parts:
            same = ["-u"] if table == "wav.scp" else []  # shards may share a recording
            sort_lines(["-m", *same, *parts], output / table)
        else:
            (output / table).unlink(missing_ok=True)
    for table in ("text", "questions.jsonl", "wav.scp"):
        if (output / table).is_file():
            _refuse_doubled(output / table)
    if (output / "utt2spk").is_file():
        write_spk2utt(output)


def write_spk2utt(folder: Path) -> None:
    """Write the inverse of utt2spk. Raises CorpusError: sort fails."""
    by_speaker = folder / ".utt2spk.by_speaker"
    sort_lines(["-k2,2", "-k1,1", str(folder / "utt2spk")], by_speaker)
    groups = groupby(map(str.split, each_line(by_speaker)), key=lambda pair: pair[1])
    write_lines(folder / "spk2utt", (f"{who} {' '.join(key for key, _ in pairs)}" for who, pairs in groups))
    by_speaker.unlink()


def write_sorted(output: Path, lines: Iterable[str]) -> None:
    """Lines that come in any order as a table in C order; memory does not grow with them. Raises CorpusError."""
    unsorted = output.with_name(f".{output.name}.unsorted")
    write_lines(unsorted, lines)
    sort_lines([str(unsorted)], output)
    unsorted.unlink()


def sort_lines(arguments: list[str], output: Path) -> None:
    """`sort` of the system in C order, with bounded memory, into `output`, whole or not at all. Raises CorpusError."""
    if shutil.which("sort") is None:
        raise CorpusError("no `sort` program on PATH; install coreutils")
    with whole_file(output) as partial:
        run = subprocess.run(
            ["sort", "-S", "200M", "-o", str(partial), *arguments], env=_SORT, capture_output=True, text=True
        )
        if run.returncode:
            raise CorpusError(f"{output}: sort failed: {run.stderr.strip()}; is the disk full?")


def _refuse_doubled(table: Path) -> None:
    last = None
    for number, line in enumerate(each_line(table), start=1):
        key = json.loads(line)["id"] if line.startswith("{") else line.split(" ", 1)[0]
        if key == last:
            where = f"{table}:{number}: the id {key} comes twice"
            raise CorpusError(f"{where}: the corpus holds it in two places; take one out")
        last = key
