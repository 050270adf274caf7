"""What the suites' own scorers found, read from what they write or print, as one table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import read_json, read_lines, write_lines
from freeze_omni.eval.report import table
from freeze_omni.eval.sets import json_lines, write_json
from freeze_omni.eval.suites.base import SuiteError

Figures = dict[str, float]
_NUMBER = r"(?:np\.float64\()?(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
_PAIR = re.compile(rf"'([\w -]+)': {_NUMBER}")  # of a dict that Python printed
_AVERAGE = re.compile(rf"^(?:Average )?([\w ]+?)(?: - Mean)?: +{_NUMBER}")


def results(suite: str, path: Path, output: Path | None = None) -> list[str]:
    """The table in lines, also written to output/results.md and .json. Raises SuiteError: nothing can be read there."""
    if suite not in READERS:
        raise SuiteError(f"--results: of {', '.join(READERS)}; {suite} has no scorer whose result is read")
    found = {name: figures for name, figures in READERS[suite](path) if figures}
    if not found:
        raise SuiteError(f"{path}: no result of {suite}'s scorer in it (docs/suites.md says what is read)")
    lines = table(
        ["set", "figure", "value"], [[n, key, f"{value:.4g}"] for n, one in found.items() for key, value in one.items()]
    )
    if output is not None:
        write_json(output / "results.json", {"suite": suite, "read": str(path), "results": found})
        write_lines(output / "results.md", lines)
    return lines


def _files(path: Path, pattern: str) -> list[Path]:
    return sorted(path.rglob(pattern)) if path.is_dir() else [path]


def _voicebench(path: Path) -> Iterator[tuple[str, Figures]]:
    """Logs of evaluate.py, `<subset>.log`: the dict in its last line."""
    for file in _files(path, "*.log"):
        pairs = [_PAIR.findall(line) for line in read_lines(file)]
        yield file.stem, {key: float(value) for key, value in next(filter(None, reversed(pairs)), [])}


def _uro_bench(path: Path) -> Iterator[tuple[str, Figures]]:
    """evaluation.jsonl of evaluate.py."""
    found: dict[str, Figures] = defaultdict(dict)
    for file in _files(path, "evaluation.jsonl"):
        for where, row in json_lines(file, SuiteError, "run evaluate.py again"):
            own = next((key.removeprefix("score on ") for key in row if key.startswith("score on ")), "all")
            for key, value in row.items():
                found[own]["score" if key.startswith("score on ") else key] = _float(value, where)
    yield from found.items()


def _full_duplex_bench(path: Path) -> Iterator[tuple[str, Figures]]:
    """Logs of evaluate.py, `<task>.log`, and latency_intervals.json of get_timing.py in each sample of a task."""
    for file in _files(path, "*.log"):
        after, figures = False, {}
        for line in read_lines(file):
            after = after or line.startswith(("[Result]", "Ratios"))
            if after and line.startswith("Ratios"):
                figures |= {f"ratio {key}": float(value) for key, value in _PAIR.findall(line)}
            elif after and (one := _AVERAGE.match(line)):
                figures[one[1]] = float(one[2])
        yield file.stem, figures
    tasks: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in _files(path, "latency_intervals.json") if path.is_dir() else []:
        for key, spans in read_json(file).items():
            tasks[file.parent.parent.name][key] += [end - start for start, end in spans]
    for task, spans_of in tasks.items():
        yield f"{task} timing", {f"{key}, mean s": sum(spans) / len(spans) for key, spans in spans_of.items() if spans}


def _versa(path: Path) -> Iterator[tuple[str, Figures]]:
    """The --output_file of scorer.py, a JSON object for each utterance: means of all numbers."""
    for file in [path] if path.is_file() else sorted({*path.rglob("*.jsonl"), *path.rglob("*.txt")}):
        values: dict[str, list[float]] = defaultdict(list)
        for _, row in json_lines(file, SuiteError, "give the --output_file of scorer.py"):
            for key, value in row.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    values[key].append(float(value))
        yield file.stem, {key: sum(one) / len(one) for key, one in values.items()}


def _float(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SuiteError(f"{where}: {value!r} is no number; run evaluate.py again") from None


READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, Figures]]]] = {
    "voicebench": _voicebench,
    "uro_bench": _uro_bench,
    "full_duplex_bench": _full_duplex_bench,
    "versa": _versa,
}
