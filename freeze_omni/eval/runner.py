"""The runner of all decoding: one job is one model on one test set, into a folder of records that can be resumed."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freeze_omni.config import ConfigError
from freeze_omni.data import tables
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.data.lock import claim
from freeze_omni.data.parts import WHOLE, Part, PartDone
from freeze_omni.data.tables import TableError, read_table, write_jsonl, write_lines, write_table
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.sets import first_keys
from freeze_omni.provenance import provenance
from freeze_omni.session.answer import own_answers
from freeze_omni.session.session import SessionConfig

if TYPE_CHECKING:
    import torch


RECORDS, MADE_FROM = "records.jsonl", "made_from.json"
PARTS = ".parts"  # folders of the records of an array's jobs, until they are merged


class Records:
    """`records.jsonl`; `found` is of earlier runs `made_from` the same. Raises ConfigError: the folder is in use.

    A job of an array (`part`) has a file of its own, and knows those of the others; without a part they are merged.
    """

    def __init__(self, folder: str | Path, made_from: Mapping[str, Any], part: Part = WHOLE) -> None:
        self.folder, self._alone, self._twice = Path(folder), part.alone, False
        own = self.folder if part.alone else self.folder / PARTS / f"{part.number}-of-{part.count}"
        own.mkdir(parents=True, exist_ok=True)
        claim(own)
        self.path = own / RECORDS
        identity = json.dumps(made_from, sort_keys=True, default=str)
        found = {place: _found(place, identity) for place in (self.folder, *(self.folder / PARTS).glob("*"))}
        self.found = {key: record for records in found.values() for key, record in records.items()}
        # without the half line of a killed run
        write_jsonl(self.path, (self.found if part.alone else found[own]).values())
        write_lines(own / MADE_FROM, [identity])
        if part.alone:
            shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def settle(self, keys: Iterable[str]) -> None:
        """All are there: write each once, in the order of `keys`, whoever made them. A job of an array leaves that."""
        ordered = {key: self.found[key] for key in keys}
        if self._alone and (self._twice or list(ordered) != list(self.found)):
            self.found = ordered
            write_jsonl(self.path, ordered.values())

    def missing(self, keys: Iterable[str]) -> list[str]:
        return [key for key in keys if key not in self.found]

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store finished items; each has its key under `id`."""
        for record in records:
            self._twice |= record["id"] in self.found  # in a batch of which a kill left a part
            tables.append_jsonl(self.path, [record])
            self.found[record["id"]] = dict(record)


def _found(folder: Path, identity: str) -> dict[str, dict[str, Any]]:
    """Records of a folder, if they were made from this."""
    known = folder / MADE_FROM
    same = known.exists() and known.read_text(encoding="utf-8").strip() == identity
    return read_records(folder / RECORDS) if same else {}


def read_records(path: str | Path) -> dict[str, dict[str, Any]]:
    """Records by id, without the half line at the end of a killed run. Raises TableError for other broken lines."""
    rows = tables.read_jsonl(path, cut=True) if Path(path).exists() else ()
    found = {}
    for number, record in rows:
        if not isinstance(record, dict) or "id" not in record:
            raise TableError(f"{path}:{number}: no record; remove the line and decode again")
        found[record["id"]] = record
    return found


def clip_records(
    folder: Path, name: str, made_from: Mapping[str, Any], limit: int | None = None, part: Part = WHOLE
) -> tuple[Records, dict[str, str]]:
    """Records in folder/<name> of (at most `limit`, evenly spread) clips of folder/wav.scp; the clips' files by id."""
    table = read_table(folder / "wav.scp")
    if limit is not None:
        table = {key: table[key] for key in first_keys(table, limit)}
    clips = {key: fingerprint(path) for key, path in table.items()}
    return Records(folder / name, {"clips": clips, **made_from}, part), table


def data_of(folder: Path) -> Path:
    """The data directory that a decoding folder was made from."""
    return Path(tables.read_json(folder / "made_from.json", "decode again")["data"])


def progress(title: str, done: int, total: int, started_s: float) -> None:
    """One line on standard error: overwritten on a terminal; in a log, one for each tenth of the work."""
    live = sys.stderr.isatty()
    if not live and done < total and done * 10 // total == (done - 1) * 10 // total:
        return
    end = "\r" if live and done < total else "\n"
    print(f"{title}: {done}/{total}, {time.time() - started_s:.0f} s", file=sys.stderr, end=end, flush=True)


Units = Sequence[Sequence[str]]  # ids that are decoded together, by the set alone
# units that remain to the records of finished items, some at a time
Work = Callable[[Units], Iterable[Sequence[Mapping[str, Any]]]]


@dataclass
class DecodeJob:
    """model: a packed folder, or a checkpoint (.pth) that the parts of `codec`, `llm`, `units` and `voice` complete.

    data: the test set. output: the decoding folder. seed: of all sampling. threads: of torch; 0 leaves them.
    judge: hears the questions, too, for what its transcripts would give; cascade: the CTC head's (eval/qa.py).
    device: of torch. part: of an array of jobs. llm_dtype: of the LLM of a checkpoint; a packed model has its own.
    llm_gguf: by which the LLM of a packed model computes, in place of its own way.
    """

    model: Path
    data: Path
    output: Path
    config: DecodeConfig
    seed: int = 777
    threads: int = 0
    codec: Path | None = None
    llm: str | None = None
    units: Path | None = None
    voice: Path | None = None
    judge: Path | None = None
    cascade: bool = False
    device: str | torch.device = "cpu"
    part: Part = WHOLE
    llm_dtype: str = "float32"
    llm_gguf: Path | None = None
    started_s: float = field(default_factory=time.time)

    @classmethod
    def of(cls, args: argparse.Namespace, config: DecodeConfig, output: Path, data: Path | None = None) -> DecodeJob:
        """The model of a command line on `data`, or on the data of the command line."""
        names = ("codec", "llm", "units", "voice", "judge", "cascade", "device", "part", "llm_dtype", "llm_gguf")
        given = {name: getattr(args, name) for name in names if hasattr(args, name)}
        from freeze_omni.pack import find

        return cls(find(args.model), data or args.data, output, config, args.seed, args.threads, **given)

    @property
    def partial(self) -> bool:
        """Whether the model is the checkpoint of one stage."""
        return self.model.suffix == ".pth"

    def load(self, *parts: str) -> Any:
        """The packed model, or a model of these parts of the checkpoint. Raises ConfigError."""
        if not self.partial:
            return load_model(self.model, self.threads, self.seed, self.device, self.llm_gguf)
        if self.llm_gguf is not None:
            raise ConfigError(f"--llm_gguf {self.llm_gguf}: is for a packed model, and {self.model} is a checkpoint")
        _prepare(self.threads, self.seed)
        sources = [f"{self.model}:{','.join(parts)}", *([f"{self.codec}:codec"] if self.codec else [])]
        return _read(tuple(sources), self.llm, self.units, self.voice, self.llm_dtype, self.device)

    def run(
        self, title: str, units: Units, made_from: Any, work: Work, timed: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Records of all units; `work` is called only if some are missing or were `made_from` other settings.

        timed: what is measured is time, so that no job beside it does the same. Raises PartDone: in a job of an array.
        """
        if timed and not self.part.alone:
            raise PartDone
        keys, records = [key for unit in units for key in unit], self._records(made_from)
        if todo := [unit for unit in self.part.of(units) if records.missing(unit)]:
            for done in work(todo):
                records.add(done)
                progress(title, len(records.found), len(keys), self.started_s)
        if not self.part.alone:
            raise PartDone
        records.settle(keys)
        return {key: records.found[key] for key in keys}

    def finish(self, texts: Mapping[str, str], names: Iterable[str] = ()) -> None:
        """Write `text`, decode.json (how they were made), and <name>/wav.scp of the sounds in each wav/<name>."""
        for name in names:
            scp = {key: self.output / "wav" / name / f"{key}.wav" for key in texts}
            write_table(self.output / name / "wav.scp", scp)
        write_table(self.output / "text", texts)
        write_lines(self.output / "decode.json", [json.dumps(provenance(self.seed, self.started_s), indent=1)])

    def _records(self, made_from: Any) -> Records:
        if not self.partial and not self.model.is_dir():
            raise FileNotFoundError(f"{self.model}: no such model folder; pack one (stage 13) or correct --model")
        for path in (self.model, self.codec):
            if self.partial and path is not None and not path.is_file():
                raise ConfigError(f"{path}: no such checkpoint; train that stage first")
        files = [self.model] if self.partial else sorted(self.model.iterdir())
        model = [one for one in files if self.partial or one.is_dir() or one.suffix in (".safetensors", ".yaml")]
        parts = [
            Path(part)
            for part in (*model, self.codec, self.llm, self.units, self.voice, self.llm_gguf)
            if part is not None
        ]
        read = {part.name: fingerprint(part) if part.exists() else str(part) for part in parts}
        read["test set"] = fingerprint(self.data)
        identity = {"read": read, "data": str(self.data), "config": repr(made_from), "seed": self.seed}
        if self.partial and self.llm_dtype != "float32":
            identity["llm_dtype"] = self.llm_dtype
        return Records(self.output, identity, self.part)


def session_config(job: DecodeJob, model: Any, max_new_tokens: int) -> SessionConfig:
    """Sessions that answer as configured, else as the packed model says. max_new_tokens: the longest answer."""
    answers = job.config.answers or own_answers(model)
    generation = replace(answers.generation, max_new_tokens=max_new_tokens)
    return SessionConfig(answers=replace(answers, generation=generation), seed=job.seed)


def load_model(
    folder: Path, threads: int = 0, seed: int = 0, device: str | torch.device = "cpu", gguf: Path | None = None
) -> Any:
    """The packed model, ready to decode, with torch's threads and seed set. A process loads it once. gguf: as of
    `pack.load`."""
    from freeze_omni.pack import find

    _prepare(threads, seed)
    return _load(find(folder).resolve(), device, gguf)


def _prepare(threads: int, seed: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)


@lru_cache(maxsize=1)
def _load(folder: Path, device: str | torch.device, gguf: Path | None) -> Any:
    from transformers.utils import logging

    from freeze_omni.pack import LOAD_ERRORS, load, load_fault

    logging.disable_progress_bar()
    try:
        return load(folder, device, gguf=gguf)
    except LOAD_ERRORS as error:
        raise ConfigError(load_fault(folder, error)) from None


@lru_cache(maxsize=1)
def _read(
    sources: tuple[str, ...],
    llm: str | None,
    units: Path | None,
    voice: Path | None,
    llm_dtype: str,
    device: str | torch.device,
) -> Any:
    from freeze_omni.checkpoint import read_model

    return read_model(sources, llm=llm, units=units, voice=voice, llm_dtype=llm_dtype).to(device)
