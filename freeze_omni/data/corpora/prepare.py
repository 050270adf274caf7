"""A corpus becomes data directories: checked, read in parallel, merged; skipped items are reported and listed."""

import functools
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError
from freeze_omni.data.corpora.shards import SKIPPED, TABLES, Shard, merge_shards, write_shard
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tables import write_lines

MADE_FROM = ".made_from.json"
_MARK = ".freeze_omni"
_MOST_SHARDS = 64
_MOST_BASES = 20  # folders below the root that may hold the parts
_LISTS = (".csv", ".tsv", ".txt", ".json", ".transcription")
_SHOWN_REASONS = 5


@dataclass(frozen=True)
class PrepareOptions:
    """lower: transcripts in lower case. most_skipped: a larger share of a set that cannot be used is an error."""

    sets: tuple[str, ...] = ()
    nj: int = 2
    lower: bool = False
    check_audio: bool = True
    most_skipped: float = 0.1


def prepare_corpus(name: str, corpus: Corpus, data: Path, options: PrepareOptions) -> None:
    """Write data/<set>/ for each set, and report what was kept and skipped.

    Sets that were made from the same files and options are kept.
    Raises CorpusError: the layout is wrong, a set is missing or empty, or too much of it cannot be used.
    """
    work = data / f".{name}"
    _claim(work)
    chosen = choose_sets(corpus, corpus.sets(work), options.sets)
    plan = {set_name: plan_shards(work, set_name, parts, corpus, options) for set_name, parts in chosen.items()}
    todo = {}
    for set_name, shards in plan.items():
        made_from = data / set_name / MADE_FROM
        if made_from.is_file() and made_from.read_text(encoding="utf-8").strip() == _identity(shards):
            print(f"{data / set_name}: made before from the same files, kept")
        else:
            _refuse_others(data / set_name)
            todo[set_name] = shards
    shards = [shard for group in todo.values() for shard in group]
    check = options.check_audio and corpus.role != "qa"
    write = functools.partial(write_shard, corpus=corpus, lower=options.lower, check_audio=check)
    start = time.monotonic()
    reports = dict(zip(shards, parallel_map(write, shards, options.nj, f"reading {name}"), strict=True))
    kept = sum(finish_set(data / s, group, [reports[x] for x in group], options) for s, group in todo.items())
    if kept:
        seconds = max(time.monotonic() - start, 1e-3)
        print(f"{name}: {kept} in {seconds:.1f} s, {kept / seconds:.0f} a second")
    shutil.rmtree(work, ignore_errors=True)


def _claim(work: Path) -> None:
    """Make the folder of the working lists, which is removed at the end. Raises CorpusError: someone else's."""
    if work.exists() and any(work.iterdir()) and not (work / _MARK).exists():
        raise CorpusError(f"{work}: holds files of something else, and is needed for a while; move it away")
    write_lines(work / _MARK, ["working lists of prepare_corpus"])


def _refuse_others(folder: Path) -> None:
    """Raises CorpusError if the folder of a set holds tables that were not prepared here: they would be overwritten."""
    tables = [name for name in TABLES if name != SKIPPED and (folder / name).exists()]
    if tables and not (folder / MADE_FROM).exists():
        raise CorpusError(f"{folder}: its {tables[0]} was not prepared here; move the folder, or give another --data")


def choose_sets(corpus: Corpus, there: dict[str, list[str]], wanted: Sequence[str]) -> dict[str, list[str]]:
    """The wanted sets, or all. Raises CorpusError if one is missing."""
    missing = [name for name in wanted if name not in there]
    if missing or not there:
        raise CorpusError(
            f"{corpus.root}: no set '{' '.join(missing) or 'at all'}' in it; there are: {', '.join(there) or 'none'}. "
            f"Unpack it too (from {corpus.source}), or fix the names of the sets"
        )
    return {name: there[name] for name in wanted or there}


def plan_shards(work: Path, set_name: str, parts: list[str], corpus: Corpus, options: PrepareOptions) -> list[Shard]:
    """Parts in order, in at most 64 shards; the fingerprint changes with the files and all options."""
    size = max(-(-len(parts) // _MOST_SHARDS), 1)
    shards, lists = [], _list_files(corpus.root)
    for number, start in enumerate(range(0, len(parts), size)):
        some = tuple(parts[start : start + size])
        seen = _times_of(corpus.root, some)
        asked = repr((corpus, set_name, some, seen, lists, options.lower, options.check_audio))
        fingerprint = hashlib.sha256(asked.encode()).hexdigest()[:16]
        shards.append(Shard(set_name, some, work / set_name / f"{number:04d}", fingerprint))
    return shards


def finish_set(folder: Path, shards: list[Shard], reports: list[dict], options: PrepareOptions) -> int:
    """Merge the shards of a set, report, and return how many utterances or dialogues it has."""
    kept = sum(report["kept"] for report in reports)
    reasons = sum((Counter(report["reasons"]) for report in reports), Counter())
    skipped = reasons.total()
    folders = [shard.folder for shard in shards]
    if not kept or skipped > options.most_skipped * (kept + skipped):
        if skipped:
            merge_shards(folders, folder, [SKIPPED])
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(_SHOWN_REASONS))
        share = 100 * skipped / max(kept + skipped, 1)
        raise CorpusError(
            f"{folder}: {skipped} of {kept + skipped} ({share:.0f} %) cannot be used: {why or 'it is empty'}. "
            f"See {folder / SKIPPED}; fix the corpus, or allow it with --most_skipped {max(share, 1) / 100:.2f}"
        )
    write_lines(folder / MADE_FROM, ["unfinished"])  # from now on its tables are ours
    merge_shards(folders, folder)
    print(f"{folder}: {kept} kept, {skipped} skipped" + (f" (see {folder / SKIPPED})" if skipped else ""))
    for reason, count in reasons.most_common(_SHOWN_REASONS):
        print(f"  {count}: {reason}")
    write_lines(folder / MADE_FROM, [_identity(shards)])
    for shard in shards:
        shutil.rmtree(shard.folder)
    return kept


def _identity(shards: list[Shard]) -> str:
    return json.dumps([shard.fingerprint for shard in shards])


def _times_of(root: Path, parts: Sequence[str]) -> list[int]:
    """When the folder or file of each part was changed; 0 for a part that is neither (a range of a list)."""
    bases = [root, *sorted(path for path in root.glob("*") if path.is_dir())[:_MOST_BASES]]
    times = []
    for part in parts:
        named = Path(part.rpartition(" ")[2])
        places = [named] if named.is_absolute() else [base / named for base in bases]
        there = (place for place in places if place.is_relative_to(root) and place.exists())
        times.append(next((place.stat().st_mtime_ns for place in there), 0))
    return times


def _list_files(root: Path) -> list[tuple[str, int]]:
    """The lists near the root of a corpus (metadata.csv, ...), and when they were changed."""
    found = [path for path in (*root.glob("*.*"), *root.glob("*/*.*")) if path.suffix in _LISTS]
    return sorted((str(path.relative_to(root)), path.stat().st_mtime_ns) for path in found)
