"""The published codec's files (checkpoint facts, section Codec) as a `Codec`, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freeze_omni.codec.codec import Codec
from freeze_omni.codec.config import CodecConfig, GlobalCodeConfig, QuantiserConfig, TimeDomainConfig
from freeze_omni.codec.time_domain import FIRST_CHANNELS, LATENT_DIM
from freeze_omni.released.files import check_shapes, checked, read_checkpoint, read_json, shapes_only, state_dict, taken
from freeze_omni.weights import fill, state_shapes, without_weights

GROUPS = ("generator", "quantizer", "encoder")
VOICE_DIM = 128  # of all global tokens together
MOST = 1 << 16  # of any size in model.json
_UNUSED = ("linear.0.weight", "linear.0.bias")  # of the encoder: takes no part in its output
_VOICE = "encoder.GlobalTokenEncoder"
# theirs, ours; the first that fits
_NAMES = (
    ("quantizer.quantizer_modules.0.embedding.weight", "quantiser.codes.codebook"),
    ("quantizer.quantizer_modules_globaltokens.*.embedding.weight", "global_quantiser.slices.*.codebook"),
    *((f"{_VOICE}.conv.{2 * layer}.weight", f"encoder.voice.conv.{layer}.weight") for layer in range(3)),
    (f"{_VOICE}.fn.0.*", "encoder.voice.linear.*"),
    (f"{_VOICE}.fn.2.*", "encoder.voice.norm.*"),
    ("encoder.*", "encoder.*"),
    ("generator.*", "decoder.*"),
)
_SIZES = {  # ours: theirs
    "rates": "upsample_rates",
    "rate_kernels": "upsample_kernel_sizes",
    "block_kernels": "resblock_kernel_sizes",
    "global_conv": "global_feature_conv",
}
_WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def read_codec(folder: str | Path) -> tuple[Codec, Tensor | None, dict[str, str]]:
    """The codec of a `codec` folder in evaluation mode, its fixed voice, and what was left out.

    Returns: the codec; its global tokens (1, n), None if model.json has none; left-out tensor name -> why. Raises
    ReleasedError that names the file and what is wrong with it.
    """
    path, described = Path(folder) / "final.pt", Path(folder) / "model.json"
    model = read_json(described)
    with checked(described):
        config, voice = codec_config(model), _voice(model)
        with shapes_only():
            shapes = state_shapes(Codec(config))
    groups = read_checkpoint(path)
    with checked(path):
        if not isinstance(groups, dict) or set(groups) != set(GROUPS):
            raise ValueError(f"expected the state dicts {', '.join(GROUPS)}")
        tensors, left_out = from_released({key: state_dict(value, path) for key, value in groups.items()})
        check_shapes(tensors, shapes, "model.json")
    with without_weights():
        codec = Codec(config)
    fill(codec, {name: taken(tensor) for name, tensor in tensors.items()})
    return codec.eval(), voice, left_out


def _voice(model: Mapping[str, Any]) -> Tensor | None:
    """The fixed global tokens (1, n). Raises ValueError if they are none of the codebooks'."""
    tokens = model.get("global_tokens")
    if tokens is None:
        return None
    count, codes = model["global_code_num"], model["n_codes"]
    right = isinstance(tokens, list) and all(isinstance(t, int) and 0 <= t < codes for t in tokens)
    if not right or len(tokens) != count:
        raise ValueError(f"global_tokens must be {count} whole numbers from 0 to {codes - 1}")
    return torch.tensor([tokens])


def codec_config(model: Mapping[str, Any]) -> CodecConfig:
    """What `model.json` describes. Raises KeyError or ValueError if we cannot express it."""
    if model.get("n_code_groups", 1) != 1 or model.get("residul_layer", 1) != 1:
        raise ValueError("n_code_groups and residul_layer must be 1: one codebook")
    rates = tuple(model["upsample_rates"])
    if FIRST_CHANNELS << len(rates) != LATENT_DIM:
        raise ValueError(f"{len(rates)} upsample_rates; the codes' width of {LATENT_DIM} needs 4")
    if str(model["resblock"]) not in ("1", "2"):
        raise ValueError(f"resblock is {model['resblock']!r}, only '1' and '2' are known")
    sizes = [size for theirs in _SIZES.values() for size in model[theirs]]
    for size in (*sizes, model["n_codes"], model["global_code_num"], model["upsample_initial_channel"]):
        if not isinstance(size, int) or not 1 <= size <= MOST:
            raise ValueError(f"{size!r} where a whole number from 1 to {MOST} is expected")
    return CodecConfig(
        architecture="time_domain",
        sample_rate_hz=model.get("sampling_rate", 24000),
        hop_samples=math.prod(rates),
        quantiser=QuantiserConfig(codebook_size=model["n_codes"], dim=0, normalise=False, restart_below=0.0),
        global_code=GlobalCodeConfig(VOICE_DIM, model["global_code_num"], model["n_codes"]),
        time_domain=TimeDomainConfig(
            block=str(model["resblock"]),
            channels=model["upsample_initial_channel"],
            block_dilations=tuple(tuple(row) for row in model["resblock_dilation_sizes"]),
            **{ours: tuple(model[theirs]) for ours, theirs in _SIZES.items()},
        ),
    )


def model_json(codec: Codec, voice: Tensor | None) -> dict[str, Any]:
    """The inverse of `codec_config`, with the fixed voice (1, n). Raises ValueError as `to_released`."""
    _check_expressible(codec.config)
    time_domain, config = codec.config.time_domain, codec.config
    return {
        "resblock": time_domain.block,
        "upsample_initial_channel": time_domain.channels,
        **{theirs: list(getattr(time_domain, ours)) for ours, theirs in _SIZES.items()},
        "resblock_dilation_sizes": [list(row) for row in time_domain.block_dilations],
        "n_code_groups": 1,
        "residul_layer": 1,
        "n_codes": config.quantiser.codebook_size,
        "global_code_num": config.global_code.tokens,
        "codebook_loss_lambda": 1.0,
        "commitment_loss_lambda": 0.25,
        "sampling_rate": config.sample_rate_hz,
        **({} if voice is None else {"global_tokens": voice[0].tolist()}),
    }


def from_released(groups: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dicts of `final.pt` as one of `Codec`; and name -> why left out. Raises ValueError: unknown tensors."""
    ours: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for group in GROUPS:
        for name, tensor in groups[group].items():
            if group == "encoder" and name in _UNUSED:
                left_out[f"{group}.{name}"] = "takes no part in the encoder's output"
            else:
                ours[our_name(f"{group}.{name}")] = tensor
    for name in [name for name in ours if name.endswith(".codebook")]:
        prefix, codebook = name.removesuffix("codebook"), ours[name]
        # training goes on from every code used once, so that its running mean is itself
        ours[prefix + "counts"] = codebook.new_ones(len(codebook))
        ours[prefix + "sums"] = codebook.clone()
        ours[prefix + "started"] = torch.ones((), dtype=torch.bool)
    return ours, left_out


def to_released(codec: Codec) -> dict[str, dict[str, Tensor]]:
    """The state dicts of `final.pt`. Raises ValueError for a codec that the layout cannot express."""
    _check_expressible(codec.config)
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, tensor in codec.state_dict().items():
        if name.endswith((".counts", ".sums", ".started")):
            continue
        for theirs, ours in _WEIGHT_NORM.items():
            name = name.replace(ours, theirs)
        group, _, rest = _renamed(name, 1, 0).partition(".")
        groups[group][rest] = tensor
    size = codec.config.global_code.dim
    groups["encoder"] |= {_UNUSED[0]: torch.eye(size), _UNUSED[1]: torch.zeros(size)}
    return groups


def _check_expressible(config: CodecConfig) -> None:
    if config.architecture != "time_domain":
        raise ValueError("only the time_domain architecture can be exported")
    quantiser, voice = config.quantiser, config.global_code
    if quantiser.kind != "vq" or quantiser.dim or quantiser.normalise:
        raise ValueError("only kind vq with dim 0 and without normalise can be exported")
    if voice.dim != VOICE_DIM:
        raise ValueError(f"only a global code of width {VOICE_DIM} can be exported, not {voice.dim}")
    if not voice.tokens or voice.codebook_size != quantiser.codebook_size:
        raise ValueError("only global tokens from codebooks of the same size can be exported")


def our_name(name: str) -> str:
    """Our name of `GROUP.NAME` in theirs. Raises ValueError if it has none."""
    ours = _renamed(name, 0, 1)
    if ours.startswith(_VOICE):
        raise ValueError(f"{name} is unknown")
    stem, _, last = ours.rpartition(".")
    return f"{stem}.{_WEIGHT_NORM.get(last, last)}"


def _renamed(name: str, source: int, target: int) -> str:
    """A name in the other column of _NAMES. Raises ValueError if it is in neither."""
    for pair in _NAMES:
        if match := re.fullmatch(re.escape(pair[source]).replace(r"\*", "(.+)"), name):
            return pair[target].replace("*", match[match.lastindex or 0])
    raise ValueError(f"{name} is unknown")
