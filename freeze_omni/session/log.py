"""A session on file: everything that went in, piece by piece, and what came out. It replays to the same output.

JSON lines. The first names the format and has the session's configuration. Every other has `do` (`handle`, `write`,
`speak` or `configure`), for `handle` the `event`, for `configure` the `config` from then on, and the resulting
`actions`. Audio is little-endian float32 in base64.
"""

import base64
import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from freeze_omni.config import ConfigError, as_mapping, build
from freeze_omni.data.tables import TableError, parse_json, read_lines
from freeze_omni.session import events as ev
from freeze_omni.session.session import SessionConfig, SpeechSession

FORMAT = "freeze-omni session 2"
KINDS = {kind.__name__: kind for kind in (*ev.Event.__subclasses__(), *ev.Action.__subclasses__())}


class LogError(ValueError):
    """A file that is not a session log, or is damaged; names the line."""


def to_json(value: ev.Event | ev.Action) -> dict[str, Any]:
    return {"type": type(value).__name__, **{name: _plain(item) for name, item in vars(value).items()}}


def from_json(found: dict[str, Any]) -> Any:
    """The inverse of `to_json`. Raises LogError for anything else."""
    fields = dict(found)
    kind = KINDS.get(fields.pop("type", ""))
    if kind is None:
        raise LogError(f"'{found.get('type')}' is not an event or action of a session")
    try:
        return kind(**{name: _value(item) for name, item in fields.items()})
    except (TypeError, ValueError) as error:
        raise LogError(f"{kind.__name__}: {error}") from None


def check_folder(folder: Path) -> None:
    """Make a private folder for session logs. Raises OSError, which names it, if files cannot be written there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def new_log(folder: Path, key: str) -> TextIO:
    """A file for a session that its owner alone can read; a log that is there is kept (a session goes on in another
    worker under the same key). Raises OSError."""
    path, number = folder / f"{key}.jsonl", 1
    while path.exists():
        number += 1
        path = folder / f"{key}-{number}.jsonl"
    return open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))


class Recorder:
    """Writes what a session does; whoever runs the session reports every piece. If that fails, such as on a full disk,
    the log ends and the session goes on."""

    def __init__(self, file: TextIO, config: SessionConfig) -> None:
        self._file = file
        self._line({"format": FORMAT, **as_mapping(config)})

    def handled(self, event: ev.Event, actions: list[ev.Action]) -> None:
        self.worked("handle", actions, event=to_json(event))

    def configured(self, config: SessionConfig, actions: list[ev.Action]) -> None:
        """config: from now on."""
        self.worked("configure", actions, config=as_mapping(config))

    def worked(self, lane: str, actions: list[ev.Action], **cause: Any) -> None:
        """lane: `write` or `speak`."""
        self._line({"do": lane, **cause, "actions": [to_json(action) for action in actions]})

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written was told before
            self._file.close()

    def _line(self, content: dict[str, Any]) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(json.dumps(content, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            logging.error("%s: the session is recorded no further: %s", getattr(self._file, "name", "log"), error)
            self.close()


def read_log(path: str | Path) -> tuple[SessionConfig, Iterator[dict[str, Any]]]:
    """The session's first configuration, and the pieces. Raises LogError with file and line as it reaches them."""
    try:
        lines = read_lines(path)
    except TableError as error:
        raise LogError(str(error)) from None
    head = _parse(path, 1, lines[0] if lines else "")
    if head.get("format") != FORMAT:
        raise LogError(f"{path}, line 1: not a session log ('{FORMAT}' expected)")
    try:
        config = build(SessionConfig, {key: value for key, value in head.items() if key != "format"}, f"{path}, line 1")
    except ConfigError as error:
        raise LogError(str(error)) from None
    return config, (_parse(path, number, line) for number, line in enumerate(lines[1:], 2))


def replay(pieces: Iterator[dict[str, Any]], session: SpeechSession) -> Iterator[tuple[list[Any], list[Any]]]:
    """Repeat the pieces with a fresh session; for each the recorded actions and the new ones."""
    for piece in pieces:
        before = [from_json(action) for action in piece["actions"]]
        if piece["do"] == "handle":
            yield before, session.handle(from_json(piece["event"]))
        elif piece["do"] == "configure":
            yield before, session.configure(build(SessionConfig, piece["config"]))
        else:
            yield before, session.work(piece["do"])


def same(before: list[ev.Action], now: list[ev.Action], tolerance: float = 1e-4) -> bool:
    """Equal actions; samples and probabilities within `tolerance`."""
    return len(before) == len(now) and all(
        type(one) is type(other) and all(_close(vars(one)[key], vars(other)[key], tolerance) for key in vars(one))
        for one, other in zip(before, now, strict=True)
    )


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, np.ndarray | tuple):
        one, other = np.asarray(one), np.asarray(other)
        return one.shape == other.shape and bool(np.allclose(one, other, rtol=0, atol=tolerance))
    return one == other


def _plain(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return {"float32": base64.b64encode(item.astype("<f4").tobytes()).decode("ascii")}
    return list(item) if isinstance(item, tuple) else item


def _value(item: Any) -> Any:
    if isinstance(item, dict):
        return np.frombuffer(base64.b64decode(item["float32"]), dtype="<f4").astype(np.float32)
    return tuple(item) if isinstance(item, list) else item


def _parse(path: str | Path, number: int, line: str) -> dict[str, Any]:
    try:
        content = parse_json(line, str(path))
    except TableError:
        raise LogError(f"{path}, line {number}: not JSON; the log was cut off") from None
    if not isinstance(content, dict):
        raise LogError(f"{path}, line {number}: not a JSON object")
    return content
