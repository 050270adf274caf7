"""Models of a hub next to folders of this machine: USER/NAME, or USER/NAME@REVISION, is a snapshot of its files.

huggingface_hub downloads, caches and authenticates (HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError, one_line

_ID = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")


class HubError(ConfigError):
    """A model of the hub that cannot be read or written: names it and the reason."""


def is_hub_id(source: str | Path) -> bool:
    """Whether this has the form of a hub id, and there is no such path here."""
    return bool(_ID.fullmatch(str(source))) and not Path(source).exists()


def loading(source: str) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes of a folder or hub id. Code of a model's own folder is never run."""
    name, at, revision = source.rpartition("@")
    if not at or Path(source).is_dir():
        return source, {"trust_remote_code": False}
    return name, {"trust_remote_code": False, "revision": revision}


def folder_of(source: str | Path, files: Sequence[str]) -> Path:
    """The path as it is; of a hub id the folder of the files that match these patterns, downloaded on first use.

    Raises HubError if the hub does not give them.
    """
    if not is_hub_id(source):
        return Path(source)
    from huggingface_hub import snapshot_download

    name, options = loading(str(source))
    try:
        return Path(snapshot_download(name, revision=options.get("revision"), allow_patterns=list(files)))
    except Exception as error:  # of the hub, the network, the disk; each in a class of its own
        raise HubError(f"{source}: neither a folder here nor a model of the hub: {one_line(error)}") from None
