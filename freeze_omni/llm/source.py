"""Where an LLM is: a folder, or a model of the hub at a revision, written USER/NAME@REVISION."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError
from freeze_omni.hub import loading


class LlmError(ConfigError):
    """An LLM that cannot be used: names the path and the fix."""


def check_source(path_or_id: str | Path) -> str:
    """The folder or hub id. Raises LlmError for a path without an LLM folder."""
    text, path = str(path_or_id), Path(path_or_id).expanduser()
    gguf = path.suffix == ".gguf" or path.is_dir() and any(path.glob("*.gguf"))
    if gguf and not (path / "config.json").exists():
        raise LlmError(
            f"{text}: GGUF weights; convert them once to a folder with config.json and "
            "model.safetensors (tools/installers/convert_gguf.py) and give that folder"
        )
    if path.is_dir():
        if not (path / "config.json").exists():
            raise LlmError(f"{path}: no config.json in this folder; give the folder of a transformers model")
        return str(path)
    if _looks_like_path(path_or_id) or path.exists():
        raise LlmError(f"{text}: no such folder; give the folder of a transformers model or a hub id")
    return text


def pinned(path_or_id: str | None, revision: str | None) -> str | None:
    """The LLM of `--llm` and `--llm_revision` as one word. Raises LlmError for a folder with a revision."""
    if not revision:
        return path_or_id
    if not path_or_id:
        raise LlmError(f"--llm_revision {revision}: give the hub id that it belongs to as --llm")
    if Path(path_or_id).expanduser().exists() or _looks_like_path(path_or_id):
        raise LlmError(f"--llm_revision {revision}: {path_or_id} is a folder, which has none: leave it out")
    if "@" in path_or_id and not path_or_id.endswith(f"@{revision}"):
        raise LlmError(f"--llm_revision {revision}: {path_or_id} names another one: give it once")
    return path_or_id if "@" in path_or_id else f"{path_or_id}@{revision}"


@contextmanager
def told(source: str) -> Iterator[None]:
    """Whatever transformers raises for a model that it cannot use becomes an LlmError of one line."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:400]
        if isinstance(error, OSError) and not Path(source).is_dir():
            neither = "neither a folder here nor a model on the hub that transformers can load"
            raise LlmError(f"{source}: {neither}: {said}") from error
        raise LlmError(f"{source}: no causal LM that can be used: {type(error).__name__}: {said}") from error


def read_tokenizer(source: str) -> Any:
    """The tokenizer of a checked source. Raises LlmError."""
    from transformers import AutoTokenizer

    name, options = loading(source)
    with told(source):
        return AutoTokenizer.from_pretrained(name, **options)


def _looks_like_path(path_or_id: str | Path) -> bool:
    text = str(path_or_id)
    name = text.partition("@")[0]
    return isinstance(path_or_id, Path) or text.startswith((".", "/", "~")) or name.count("/") > 1
