"""What the decoders of stage 11 have in common on their command lines."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.audio import AudioError
from freeze_omni.data.tables import TableError, write_lines, write_table
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.provenance import provenance
from freeze_omni.eval.records import Records

USER_ERRORS = (ConfigError, AudioError, TableError, FileNotFoundError, ImportError)


def parser(description: str, data_help: str) -> argparse.ArgumentParser:
    """--model --data --output --config --seed --threads."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--model", required=True, type=Path, help="packed model folder")
    options.add_argument("--data", required=True, type=Path, help=data_help)
    options.add_argument("--output", required=True, type=Path, help="decoding folder, continued")
    options.add_argument("--config", type=Path, help="decode.yaml; without it, its defaults")
    options.add_argument("--seed", type=int, default=777, help="seed of all sampling")
    options.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    return options


def read_config(path: Path | None) -> DecodeConfig:
    """decode.yaml, or its defaults. Raises ConfigError."""
    return build(DecodeConfig, {} if path is None else read_yaml(path), str(path or "defaults"))


def load_model(folder: Path, threads: int = 0, seed: int = 0) -> Any:
    """The packed model, ready to decode, with torch's threads and seed set. A process loads it once."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    return _load(folder.resolve())


@lru_cache(maxsize=1)
def _load(folder: Path) -> Any:
    from transformers.utils import logging

    from freeze_omni.pack import LOAD_ERRORS, load, load_fault

    logging.disable_progress_bar()
    try:
        return load(folder)
    except LOAD_ERRORS as error:
        raise ConfigError(load_fault(folder, error)) from None


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Run a decoder; a user's error ends with one line and code 1."""
    try:
        main(arguments)
    except USER_ERRORS as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: error: {error}")


def open_records(arguments: argparse.Namespace, part: Any) -> Records:
    """The decoding folder; what it was made from: the model's files, the data, this part of the config.

    The model is a packed folder, or a checkpoint (.pth), which may have its codec beside it.
    """
    files = [arguments.model, *filter(None, [getattr(arguments, "codec", None)])]
    if arguments.model.suffix != ".pth":
        files = _files(arguments.model)
    made_from = {
        "model": [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files],
        "data": str(arguments.data),
        "config": repr(part),
        "seed": arguments.seed,
    }
    return Records(arguments.output, made_from)


def finish(arguments: argparse.Namespace, texts: dict[str, str], started_s: float) -> None:
    """Write the hypotheses as a Kaldi `text`, and how they were made as decode.json."""
    write_table(arguments.output / "text", texts)
    record = provenance(arguments.seed, started_s)
    write_lines(arguments.output / "decode.json", [json.dumps(record, indent=1)])


def progress(title: str, done: int, total: int, started_s: float) -> None:
    """One line on standard error, which overwrites itself on a terminal; in a log one at every tenth of the work."""
    live = sys.stderr.isatty()
    if not live and done < total and done * 10 // total == (done - 1) * 10 // total:
        return
    spent = time.time() - started_s
    end = "\r" if live and done < total else "\n"
    print(f"{title}: {done}/{total}, {spent:.0f} s", file=sys.stderr, end=end, flush=True)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such model folder; pack one (stage 13) or mend --model")
    return sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".yaml"))
