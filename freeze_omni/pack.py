"""One self-contained folder for a trained model: stage 13 writes it, all that uses a model reads it.

config.yaml         SystemConfig
model.safetensors   our weights, by the prefixes of the parts, and the voice
llm/                the frozen LLM (or a path or hub id in config.yaml instead), and its GGUF file, if any
units/              the CTC units
RESULTS.md          what the model reached, if it was scored
NOTICE.txt          the licence notice of the weights, if any
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from freeze_omni.adapter.words import no_words
from freeze_omni.config import ConfigError, as_mapping, build, read_yaml
from freeze_omni.hub import folder_of
from freeze_omni.llm.frozen import FrozenLLM, LlmError
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.llm.units import CtcUnits
from freeze_omni.quantised import FewBits, is_quantised
from freeze_omni.streaming import part_state
from freeze_omni.system import FreezeOmni, SystemConfig, build_parts, empty_voice
from freeze_omni.weights import state_shapes

CONFIG, WEIGHTS, RESULTS, NOTICE = "config.yaml", "model.safetensors", "RESULTS.md", "NOTICE.txt"
LLM, UNITS = "llm", "units"
OURS = (CONFIG, WEIGHTS, RESULTS, NOTICE, LLM, UNITS)  # all that `save` writes, and replaces
LLM_FILES = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt", "LICENSE*", "NOTICE*")
FILES = (CONFIG, WEIGHTS, RESULTS, NOTICE, f"{UNITS}/*", *(f"{LLM}/{pattern}" for pattern in (*LLM_FILES, "*.gguf")))


class PackError(ConfigError):
    """A packed folder that cannot be written or used: names it, what is wrong, and the fix."""


def save(
    model: FreezeOmni,
    folder: str | Path,
    results: str | Path | None = None,
    copy_llm: bool = True,
    gguf: str | Path | None = None,
) -> Path:
    """Write a packed folder; it appears whole or not at all, in place of an older pack, whose other files stay.

    copy_llm: False refers to the LLM where it is. gguf: a file by which the packed model's LLM computes; its states are
    compared with the model's own first. Raises PackError if `folder` holds something that is no pack, the LLM is one of
    a GGUF file itself, or parts are in few bits; LlmError for a GGUF file that does not do.
    """
    if not isinstance(model.llm.plain, FrozenLLM):
        raise PackError(f"{folder}: only a model with its LLM's own weights is packed: load it with gguf=''")
    if any(is_quantised(getattr(model, part)) for part in model.trained_parts):
        raise PackError(f"{folder}: only a model with its parts' own weights is packed: load it with few_bits={{}}")
    folder = Path(folder)
    check_replaceable(folder)
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{name}") for name in ("new", "old"))
    try:
        _write(model, new, results, copy_llm, gguf)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    if old.exists():
        for path in old.iterdir():
            if path.name not in OURS:  # such as someone's notes
                path.rename(folder / path.name)
        shutil.rmtree(old)
    return folder


def check_replaceable(folder: Path) -> None:
    """Raises PackError unless a pack may be written to `folder`: there is none, or it is empty or an older pack."""
    if folder.exists() and not folder.is_dir() or folder.is_symlink():
        raise PackError(f"{folder}: is no folder of its own; give another one")
    if folder.exists() and any(folder.iterdir()) and not (is_pack(folder) and (folder / UNITS).is_dir()):
        raise PackError(f"{folder}: holds files of something else than a packed model; give another folder")


def _write(model: FreezeOmni, new: Path, results: str | Path | None, copy_llm: bool, gguf: str | Path | None) -> None:
    """Write all files of a pack into a folder that does not exist yet."""
    new.mkdir(parents=True)
    path = _put_llm(model.llm, new / LLM, copy_llm)
    llm = dataclasses.replace(model.config.llm, path=path, fingerprint=model.llm.fingerprint(), **_NO_GGUF)
    if gguf:
        llm = dataclasses.replace(llm, **_put_gguf(model, gguf, new, copy_llm))
    config = dataclasses.replace(model.config, llm=llm)
    text = yaml.safe_dump(as_mapping(config), sort_keys=False, allow_unicode=True)
    (new / CONFIG).write_text(text, encoding="utf-8")
    weights = {name: weight.contiguous().cpu() for name, weight in model.state_dict().items()}
    save_file(weights, new / WEIGHTS)
    model.units.save(new / UNITS)
    if config.notice:
        (new / NOTICE).write_text(config.notice + "\n", encoding="utf-8")
    if results is not None:
        shutil.copy(results, new / RESULTS)


def load(
    folder: str | Path,
    device: str | torch.device = "cpu",
    llm: str | Path | None = None,
    verify: bool = True,
    gguf: str | Path | None = None,
    few_bits: Mapping[str, FewBits] | None = None,
) -> FreezeOmni:
    """Read a packed folder, or one of the hub: USER/NAME, or USER/NAME@REVISION.

    llm: read the LLM from this folder or hub id instead. verify: check that the LLM's weights are those the model was
    trained with, or its GGUF file the packed one (reads them once more). gguf: a GGUF file by which the LLM computes;
    '' for its weights, None as packed. few_bits: on a CPU, as of SystemConfig; None as packed. Raises PackError, before
    memory is taken, for tensors that are missing, extra or of another shape than the configuration says; for another
    LLM than the one trained with. Raises HubError, LlmError.
    """
    folder = find(folder)
    config = check(folder, llm)
    source = llm or llm_source(folder, config)
    units = CtcUnits.load(folder / UNITS)
    file = gguf_file(folder, config) if gguf is None else gguf
    if file:
        frozen: FrozenLLM | LlamaCppLLM = _load_gguf(config, file, source, device)
        wanted = config.llm.gguf_fingerprint if gguf is None else ""
    else:
        frozen = FrozenLLM.load(source, dtype=config.llm.dtype, device=device, texts=config.chat)
        wanted = config.llm.fingerprint
    if verify and wanted and frozen.fingerprint() != wanted:
        differs = f"{file or source}: not the LLM that this model was trained with (its weights differ)"
        raise PackError(f"{differs}; give that one, or verify=False")
    try:
        model = FreezeOmni(config, frozen, units, load_file(folder / WEIGHTS))
        if torch.device(device).type == "cpu":
            model.keep_in_few_bits(config.few_bits if few_bits is None else few_bits)
    except ValueError as error:
        raise PackError(f"{folder}: {error}") from None
    return model.to(device)


def find(folder: str | Path) -> Path:
    """The folder as it is; of a hub id the snapshot of a packed model's files. Raises HubError."""
    return folder_of(folder, FILES)


def check(folder: Path, llm: str | Path | None = None) -> SystemConfig:
    """The configuration of a packed folder whose weights are as it says. llm: in place of its own. Raises PackError."""
    config = read_config(folder)
    _check_weights(config, folder / WEIGHTS, llm or llm_source(folder, config))
    return config


# what `load` may raise for a folder whose files are broken
LOAD_ERRORS = (ValueError, OSError, RuntimeError, KeyError, SafetensorError)


def load_fault(folder: str | Path, error: Exception) -> str:
    """One line that says why a model folder cannot be used. Ours say it themselves."""
    said = " ".join(str(error).split())
    if isinstance(error, ConfigError | LlmError):
        return said
    return f"{folder}: cannot be loaded: {type(error).__name__}: {said}; pack the model again (stage 13)"


def is_pack(path: str | Path) -> bool:
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def read_config(folder: str | Path) -> SystemConfig:
    """What config.yaml says. Raises PackError if there is none, ConfigError for a wrong one."""
    path = Path(folder) / CONFIG
    if not path.exists():
        raise PackError(f"{folder}: no {CONFIG} in it; give a folder that stage 13 packed")
    return build(SystemConfig, read_yaml(path), where=str(path))


def llm_source(folder: str | Path, config: SystemConfig) -> str:
    """Folder or hub id of the LLM of a packed folder."""
    inside = Path(folder) / config.llm.path
    return str(inside) if inside.is_dir() else config.llm.path


def read_weights(folder: str | Path, parts: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Tensors by part, without its prefix. Raises PackError as `load`, and for a part that the model does not have."""
    config, path = read_config(folder), Path(folder) / WEIGHTS
    _check_weights(config, path, llm_source(folder, config))
    with safe_open(path, framework="pt") as file:
        names = names_of_parts(file.keys(), parts, path)
        return {part: {key: file.get_tensor(name) for key, name in own.items()} for part, own in names.items()}


def names_of_parts(names: Iterable[str], parts: Iterable[str], path: Path) -> dict[str, dict[str, str]]:
    """Part -> name without its prefix -> name, of a file's tensors. Raises PackError for a part that it lacks."""
    every = {name: name for name in names}
    found = {part: part_state(every, part) for part in parts}
    for part, own in found.items():
        if not own:
            known = ", ".join(sorted({name.split(".")[0] for name in every} - {"voice"}))
            raise PackError(f"{path}: holds no '{part}'; it has: {known}")
    return found


def expected_shapes(config: SystemConfig, llm: str | Path | None = None) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a model of this configuration has; takes no memory.

    llm: folder or hub id of the LLM, whose architecture is read if something was learned with it.
    """
    plan = None if config.llm_tuning is None else FrozenLLM.on_meta(llm)
    with torch.device("meta"):
        parts = build_parts(config, torch.empty(config.ctc_units, config.llm_size), plan, no_words())
        voice = {"voice": tuple(empty_voice(config.codec).shape)} if config.has("codec") else {}
    return state_shapes(nn.ModuleDict(parts)) | voice


def _check_weights(config: SystemConfig, path: Path, llm: str | Path) -> None:
    expected = expected_shapes(config, llm)
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
    except FileNotFoundError:
        raise PackError(f"{path}: no such file; pack the model again (stage 13)") from None
    except SafetensorError as error:
        raise PackError(f"{path}: broken or cut off ({error}); pack the model again") from None
    other = [key for key in sorted(expected.keys() & found) if found[key] != expected[key]]
    problems = {
        "missing": sorted(expected.keys() - found),
        "unknown": sorted(found.keys() - expected),
        "of another shape than config.yaml says": [f"{key} {found[key]} (not {expected[key]})" for key in other],
    }
    for problem, keys in problems.items():
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise PackError(f"{path}: tensors {problem}: {', '.join(keys[:5])}{more}")


_NO_GGUF = {"gguf": "", "gguf_fingerprint": ""}


def gguf_file(folder: str | Path, config: SystemConfig) -> str:
    """Path of the GGUF file by which the LLM of a packed folder computes; '' for none."""
    return str(Path(folder) / config.llm.gguf) if config.llm.gguf else ""


def _load_gguf(config: SystemConfig, file: str | Path, source: str | Path, device: str | torch.device) -> LlamaCppLLM:
    if torch.device(device).type != "cpu":
        raise PackError(f"{file}: a GGUF file is computed on the CPU; on {device} give none")
    if config.llm_tuning is not None:
        raise PackError(f"{file}: llama.cpp does not compute with what was learned with the LLM; give no GGUF file")
    return LlamaCppLLM.load(file, source, config.chat)


def _put_gguf(model: FreezeOmni, file: str | Path, new: Path, copy: bool) -> dict[str, str]:
    """Check the file, copy it or say where it is: the keys of LlmConfig."""
    file = Path(file).expanduser()
    found = _load_gguf(model.config, file, model.llm.source, model.device)
    found.check_same(model.llm)
    path = file.resolve()
    if copy:
        (new / LLM).mkdir(exist_ok=True)
        path = Path(LLM) / file.name
        shutil.copy(file, new / path)
    return {"gguf": str(path), "gguf_fingerprint": found.fingerprint()}


def _put_llm(llm: FrozenLLM, folder: Path, copy: bool) -> str:
    """Copy the LLM's own files, or write the model where it came from the hub; without `copy` only say where it is."""
    source = Path(llm.source)
    if not copy:
        return str(source.resolve()) if source.is_dir() else llm.source
    if source.is_dir() and any(source.glob("*.safetensors")):
        folder.mkdir()
        for pattern in LLM_FILES:
            for file in source.glob(pattern):
                shutil.copy(file, folder)
    else:
        llm.model.save_pretrained(folder)
        llm.tokenizer.save_pretrained(folder)
    return folder.name
