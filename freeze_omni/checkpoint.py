"""Parts of models in checkpoints: each has its prefix, so a model is made from the folders of several stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.audio import read_audio
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import PART
from freeze_omni.llm.units import CtcUnits
from freeze_omni.pack import is_pack, llm_source, names_of_parts, read_config, read_weights
from freeze_omni.streaming import join_parts
from freeze_omni.system import WITHOUT_LLM, FreezeOmni, SystemConfig, empty_voice

# The keys of a stage's `model:` that describe a part, where they are not just the part's name.
CONFIG_KEYS = {
    "encoder": ("fbank", "frontend", "encoder"),
    "ctc": (),
    "prompt": ("prompt", "history"),
    "speech_decoder": ("speech_decoder", "text_style"),
}
LISTENING = {"adapter", "prompt", "state_head"}  # what learns through the LLM


@dataclass(frozen=True)
class PartsSource:
    """Parts to take from a checkpoint or a packed folder, or their configuration alone from a YAML file.

    Written on a command line as `exp/1.1_encoder/valid.loss.ave.pth:encoder,ctc` or `exp/pack:encoder,adapter`.
    """

    path: Path
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> PartsSource:
        """Raises ConfigError if the form is not PATH:PART,PART."""
        path, _, names = text.rpartition(":")
        parts = tuple(name.strip() for name in names.split(",") if name.strip())
        if not path or not parts:
            raise ConfigError(f"--init_parts {text}: expected PATH:PART,PART, as exp/1.1/latest.pth:encoder,ctc")
        return cls(Path(path), parts)

    @property
    def config_path(self) -> Path:
        if self.path.suffix in (".yaml", ".yml"):
            return self.path
        return (self.path if self.is_pack else self.path.parent) / "config.yaml"

    @property
    def is_pack(self) -> bool:
        return is_pack(self.path)

    def described(self) -> dict[str, Any]:
        """The configuration of the parts by their keys."""
        content = read_yaml(self.config_path)
        return content if self.is_pack else content.get("model", {})


def inherit_config(model: dict[str, Any], sources: Sequence[PartsSource], where: str) -> dict[str, Any]:
    """`model` with what describes the parts taken over. Raises ConfigError: they differ, or see `require_tuning`."""
    require_tuning(sources)
    completed = dict(model)
    for source in sources:
        for key, theirs in described_parts(source).items():
            if not _agrees(completed.get(key), theirs):
                here = f"{where}: {key}"
                raise ConfigError(f"{here} differs from {source.config_path}, where the part is from: remove it here")
            completed[key] = theirs
    return completed


def described_parts(source: PartsSource) -> dict[str, Any]:
    """The keys of the configuration that describe the parts of a source."""
    theirs = source.described()
    return {key: theirs[key] for part in source.parts for key in config_keys(part) if key in theirs}


def config_keys(part: str) -> tuple[str, ...]:
    """The keys under `model:` that describe a part."""
    return CONFIG_KEYS.get(part, (part,))


def require_tuning(sources: Sequence[PartsSource]) -> None:
    """Raises ConfigError for parts that are taken without what was learned with the LLM together with them."""
    for source in sources:
        learned = not source.is_pack and source.described().get(PART)
        if learned and LISTENING & set(source.parts) and not any(PART in other.parts for other in sources):
            raise ConfigError(f"{source.path}: its parts were trained with {PART}: take {PART}, too")


def _agrees(mine: Any, theirs: Any) -> bool:
    """Whether all that is said here is said there, too; nothing (None) always agrees."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return all(_agrees(value, theirs.get(key)) for key, value in mine.items())
    return mine is None or mine == theirs


def load_parts(sources: Iterable[PartsSource]) -> dict[str, dict[str, Tensor]]:
    """Part name -> its state dict, without the prefix. Raises ConfigError: a missing file, or one without the part."""
    found: dict[str, dict[str, Tensor]] = {}
    for source in sources:
        if source.is_pack:
            found |= read_weights(source.path, source.parts)
            continue
        if not source.path.exists():
            raise ConfigError(f"{source.path}: no such checkpoint; train that stage first or fix --init_parts")
        state = torch.load(source.path, map_location="cpu", weights_only=True)
        state = state.get("model", state)
        for part, names in names_of_parts(state, source.parts, source.path).items():
            found[part] = {key: state[name] for key, name in names.items()}
    return found


def fill_parts(model: nn.Module, found: dict[str, dict[str, Tensor]], where: str = "--init_parts") -> None:
    """Copy parts into the submodules of their names. Raises ConfigError: no such submodule, or one of another shape."""
    for part, state in found.items():
        module = dict(model.named_children()).get(part)
        if module is None:
            raise ConfigError(f"{where}: this stage has no part '{part}'")
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"{where}: '{part}' does not fit: {error}") from None


def read_model(
    sources: Iterable[PartsSource | str],
    llm: FrozenLLM | str | Path | None = None,
    units: CtcUnits | str | Path | None = None,
    voice: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    llm_dtype: str = "float32",
    where: str = "--parts",
) -> FreezeOmni:
    """A model that has the parts of some sources, such as `exp/1.1_encoder/X.pth:encoder,ctc`, and no others.

    llm, units: of the parts that work with them, as folders (or a hub id) or loaded; default: those of a packed model
    among the sources. voice: sound file of the voice that a codec speaks with. config: further keys of SystemConfig;
    where: what an error calls them. Raises ConfigError: a missing file or part, or parts that do not fit together.
    """
    parsed = [PartsSource.parse(one) if isinstance(one, str) else one for one in sources]
    mapping = inherit_config(dict(config or {}), parsed, where)
    states = load_parts(parsed)
    if isinstance(llm, str | Path) or llm is None:
        llm = _llm_of(llm, parsed, llm_dtype, set(states))
    if isinstance(units, str | Path) or units is None:
        units = _units_of(units, parsed)
    built = build(SystemConfig, mapping | sizes(mapping, states, llm, units, llm_dtype), where)
    tensors = join_parts(states) | ({"voice": empty_voice(built.codec)} if built.has("codec") else {})
    try:
        model = FreezeOmni(built, llm, units, tensors)
    except ValueError as error:
        files = ", ".join(str(source.path) for source in parsed)
        raise ConfigError(f"{files}: does not fit its configuration: {error}") from None
    if voice is not None:
        model.set_voice(torch.from_numpy(read_audio(str(voice), model.rates.output_hz)[0]))
    return model


def sizes(
    mapping: Mapping[str, Any], states: Mapping[str, Any], llm: FrozenLLM | None, units: CtcUnits | None, dtype: str
) -> dict[str, Any]:
    """The keys of SystemConfig that follow from the parts, the LLM and the units."""
    found: dict[str, Any] = {"parts": sorted(states)}
    if llm is not None:
        found |= {"llm_size": llm.hidden_size, "llm": {"dtype": dtype}}
    if units is not None:
        found["ctc_units"] = len(units)
    if "rates" not in mapping:
        codec = (mapping.get("codec") or {}) if "codec" in states else {}
        names = {"output_hz": "sample_rate_hz", "token_samples": "hop_samples"}
        rates = {key: codec[name] for key, name in names.items() if codec.get(name) is not None}
        found["rates"] = rates | _frontend_rates(mapping)
    return found


def _frontend_rates(mapping: Mapping[str, Any]) -> dict[str, int]:
    """The rates that a pretrained frontend sets: one feature a frame."""
    if mapping.get("frontend") is None:
        return {}
    frontend = build(PretrainedConfig, mapping["frontend"], "frontend")
    return {"encoder_downsample": 1, "frame_shift_ms": frontend.frame_ms, "chunk_frames": frontend.chunk_frames}


def _llm_of(given: str | Path | None, sources: Sequence[PartsSource], dtype: str, parts: set[str]) -> FrozenLLM | None:
    packs = [source.path for source in sources if source.is_pack]
    if given is None and (not packs or parts <= set(WITHOUT_LLM)):
        return None
    if given is not None:
        return FrozenLLM.load(given, dtype=dtype)
    config = read_config(packs[0])
    return FrozenLLM.load(llm_source(packs[0], config), dtype=config.llm.dtype, texts=config.chat)


def _units_of(given: str | Path | None, sources: Sequence[PartsSource]) -> CtcUnits | None:
    packs = [source.path for source in sources if source.is_pack and "ctc" in source.parts]
    folder = Path(given) if given is not None else packs[0] / "units" if packs else None
    return None if folder is None else CtcUnits.load(folder)
