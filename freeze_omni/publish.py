"""A packed model goes to the hub: its files and a model card, in one commit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from freeze_omni.config import one_line
from freeze_omni.hub import HubError
from freeze_omni.pack import FILES, LLM, NOTICE, RESULTS, PackError, check, expected_shapes, llm_source
from freeze_omni.system import SystemConfig

CARD = "README.md"
OF_OTHERS = (LLM, "frontend")
"""Parts that a pack holds as others published them: each has a licence of its own."""


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a packed folder that travel, by their names in it."""
    found = {path for pattern in FILES for path in folder.glob(pattern.replace("/*", "/**/*")) if path.is_file()}
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def licences_of(folder: Path, config: SystemConfig, ours: str, given: Mapping[str, str]) -> dict[str, str]:
    """Licence by part. ours: of what was trained; given: of parts of others.

    Raises PackError for a part of others whose licence is neither given nor in the pack, and for an unknown part.
    """
    parts = (*config.own_parts, LLM)
    if unknown := set(given) - set(parts):
        raise PackError(f"{folder}: has no part '{min(unknown)}' for a licence; it has {', '.join(parts)}")
    found = dict.fromkeys(parts, ours)
    for part in set(OF_OTHERS) & set(parts) - set(given):
        texts = sorted(path.name for path in (folder / part).glob("LICEN[CS]E*"))
        if not texts and (part != LLM or (folder / LLM).is_dir()):
            raise PackError(f"{folder}: does not say the licence of its {part}: --part_licences {part}=apache-2.0")
        found[part] = f"[{texts[0]}]({part}/{texts[0]})" if texts else "see its own page"
    return found | dict(given)


def card(folder: str | Path, name: str, licence: str, part_licences: Mapping[str, str] | None = None) -> str:
    """The model card of a packed folder as USER/NAME. licence: of what was trained, as the hub spells it.

    Raises PackError for a pack that is broken, or that says too little (`licences_of`).
    """
    folder = Path(folder)
    config = check(folder)
    licences = licences_of(folder, config, licence, part_licences or {})
    outside = "" if config.llm.path == LLM else config.llm.path
    if Path(outside).is_absolute():
        raise PackError(f"{folder}: its LLM is a folder of this machine: pack the model again without --link_llm")
    if Path(config.llm.gguf).is_absolute():
        raise PackError(f"{folder}: its GGUF file is outside: pack the model again without --link_llm")
    facts: dict[str, Any] = {"library_name": "freeze_omni", "license": licence, "pipeline_tag": "audio-to-audio"}
    facts |= {"base_model": outside.partition("@")[0]} if outside else {}
    facts["tags"] = ["freeze-omni", "speech", "spoken-dialogue"]
    sections = [
        f"---\n{yaml.safe_dump(facts, sort_keys=False)}---\n\n# {name.split('/')[-1]}",
        "A packed model of the Freeze-Omni toolkit ([the method](https://arxiv.org/abs/2411.00774)): a text LLM that "
        "listens and speaks while its own weights stay frozen.",
        f"## Use\n\nWith the package `freeze_omni` and its extra `serve`:\n\n```\n"
        f"freeze-omni answer --model {name} --input question.wav --output answer.wav\n"
        f"freeze-omni serve --model {name}     # then open http://127.0.0.1:8765/\n```\n\n"
        f'```python\nimport freeze_omni\n\nmodel = freeze_omni.load("{name}")\n'
        "session = freeze_omni.SpeechSession(model)\n```",
        f"## Parts and their licences\n\n{_table(folder, config, licences)}",
        f"## Figures\n\n{_figures(folder)}",
    ]
    if config.notice:
        sections.append(f"## Notice\n\nSee [{NOTICE}]({NOTICE}).")
    return "\n\n".join(sections) + "\n"


def _table(folder: Path, config: SystemConfig, licences: Mapping[str, str]) -> str:
    source = llm_source(folder, config)
    sizes: Counter[str] = Counter()
    for key, shape in expected_shapes(config, source).items():
        sizes[key.partition(".")[0]] += math.prod(shape)
    rows = ["| part | parameters | licence |", "| --- | --- | --- |"]
    for part, licence in licences.items():
        size = f"{sizes[part]:,}" if part != LLM else f"frozen, width {config.llm_size}"
        rows.append(f"| {part} | {size} | {licence} |")
    return "\n".join(rows)


def _figures(folder: Path) -> str:
    """The first section of RESULTS.md: what a user gets."""
    path = folder / RESULTS
    if not path.is_file():
        return "Not measured."
    _, heading, rest = path.read_text(encoding="utf-8").partition("\n## ")
    table = rest.partition("\n## ")[0].partition("\n")[2].strip() + "\n\n" if heading else ""
    return f"{table}How they were measured, and all others: [{RESULTS}]({RESULTS})."


def upload(folder: str | Path, name: str, text: str, private: bool = False, revision: str | None = None) -> str:
    """Upload a packed folder with the card `text` as USER/NAME, in place of what is there; the commit's address.

    Raises HubError if the hub does not take it.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    hub, files = HfApi(library_name="freeze_omni"), files_of(Path(folder))
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        kept = {*files, CARD, ".gitattributes"}
        gone = [old for old in hub.list_repo_files(name, revision=revision) if old not in kept]
        added = [CommitOperationAdd(CARD, text.encode())]
        added += [CommitOperationAdd(key, path) for key, path in files.items()]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [*added, *map(CommitOperationDelete, gone)]
        message = "Upload a packed model of the Freeze-Omni toolkit"
        return hub.create_commit(name, operations, commit_message=message, revision=revision).commit_url
    except Exception as error:  # of the hub or the network; each in a class of its own
        fix = "; log in with `hf auth login`, or set HF_TOKEN" if "401" in str(error) else ""
        raise HubError(f"{name}: the hub does not take it: {one_line(error)}{fix}") from None
