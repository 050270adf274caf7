"""A data directory's rows in parts of some utterances, on the disk, as Kaldi's split directories: one for each job."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.shards import sort_lines
from freeze_omni.data.ids import check_ids
from freeze_omni.data.table_file import TableFile, joined
from freeze_omni.data.tables import Segment, TableError, each_line, only_in, parse_segment, write_lines

PARTS, ROWS = ".parts", "rows.jsonl"
MOST_IN_PART, FEWEST_PARTS = 1000, 32  # if no shard says how many utterances

type Utterance = list[str]
"""Id, text, speaker, and its line of segments, if any."""


def part_size(utterances: int) -> int:
    """Utterances of a part: few enough that a small directory, too, is work for several processes."""
    return max(1, min(MOST_IN_PART, utterances // FEWEST_PARTS))


@dataclass(frozen=True)
class DataDir:
    """Tables of a directory; of each utterance, also that of its sound (segments or wav.scp)."""

    folder: Path
    wavs: TableFile
    texts: TableFile
    segments: TableFile | None
    speakers: TableFile | None

    @property
    def sounds(self) -> TableFile:
        return self.wavs if self.segments is None else self.segments

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Id, text, speaker, and entry of wav.scp or line of segments, in C order of the ids."""
        tables = [self.texts, self.sounds, *([self.speakers] if self.speakers is not None else [])]
        for uid, (text, sound, *speaker), _ in joined(tables):
            yield uid, text, speaker[0] if speaker else uid, sound


def open_dir(folder: Path) -> DataDir:
    """Raises TableError: a table is broken or missing, their ids differ, or one cannot be an id."""
    found = {name: TableFile(folder / name) for name in ("wav.scp", "text")}
    optional = {name: TableFile(folder / name) for name in ("segments", "utt2spk") if (folder / name).exists()}
    opened = DataDir(folder, found["wav.scp"], found["text"], optional.get("segments"), optional.get("utt2spk"))
    named = {"segments" if opened.segments is not None else "wav.scp": opened.sounds, "text": opened.texts}
    require_same_rows(named | ({"utt2spk": opened.speakers} if opened.speakers is not None else {}), folder)
    check_ids((word for uid, _, speaker, _ in opened.rows() for word in (uid, speaker)), folder)
    if opened.segments is not None:
        check_ids(opened.wavs, folder)
        for line, (uid, value) in enumerate(opened.segments.sorted_items(), start=1):
            recording = _segment(value, uid, folder / "segments", line).recording
            if recording not in opened.wavs:
                raise TableError(f"{folder}/segments: {uid}: no {recording} in wav.scp")
    return opened


def _segment(value: str, uid: str, path: Path, line: int) -> Segment:
    try:
        return parse_segment(value)
    except ValueError as error:
        raise TableError(f"{path}:{line}: {uid} {error}; fix the line") from None


def require_same_rows(tables: Mapping[str, TableFile], where: Path) -> None:
    """`require_same_ids` for tables of any size. Raises TableError."""
    (first, reference), *others = tables.items()
    for name, table in others:
        common = sum(1 for _ in joined([reference, table]))
        for have, lack, known, wanted in ((first, name, reference, table), (name, first, table, reference)):
            if common < len(known):
                missing = next(key for key, _ in known.sorted_items() if key not in wanted)
                raise only_in(where, have, lack, missing, len(known) - common)


def write_parts(rows: DataDir, folder: Path, size: int) -> list[Path]:
    """Write `folder`/NNNNNN/rows.jsonl of `size` utterances each; returns the folders.

    A line is an entry of wav.scp with its utterances. Those of one recording are in one part, and it alone may be
    larger.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts: list[Path] = []
    lines: list[str] = []
    count = 0
    for entry, utterances in _recordings(rows, folder):
        lines.append(json.dumps({"entry": entry, "utterances": utterances}, ensure_ascii=False))
        count += len(utterances)
        if count >= size:
            parts.append(_write_part(folder, len(parts), lines))
            lines, count = [], 0
    return [*parts, _write_part(folder, len(parts), lines)] if lines else parts


def _write_part(folder: Path, number: int, lines: list[str]) -> Path:
    part = folder / f"{number:06d}"
    write_lines(part / ROWS, lines)
    return part


def _recordings(rows: DataDir, folder: Path) -> Iterator[tuple[str, list[Utterance]]]:
    if rows.segments is None:
        for uid, text, speaker, entry in rows.rows():
            yield entry, [[uid, text, speaker, ""]]
        return
    by_recording = folder / "by_recording"
    with open(by_recording, "w", encoding="utf-8") as stream:
        for uid, text, speaker, cut in rows.rows():
            stream.write(f"{cut.split()[0]}\t{json.dumps([uid, text, speaker, cut])}\n")
    sort_lines([str(by_recording)], by_recording)
    name, utterances = "", []
    for line in each_line(by_recording):
        recording, _, row = line.partition("\t")
        if utterances and recording != name:
            yield rows.wavs[name], utterances
            utterances = []
        name = recording
        utterances.append(json.loads(row))
    if utterances:
        yield rows.wavs[name], utterances
