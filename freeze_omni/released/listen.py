"""The published listening half (`audiollm/`): its encoder and adapter in our names, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from freeze_omni.adapter.conv import ConvAdapter, ConvAdapterConfig
from freeze_omni.config import build, read_yaml
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.released.files import check_fixed, check_shapes, checked, read_tensors, read_text, shapes_only, taken
from freeze_omni.weights import fill, state_shapes, without_weights

_WEIGHTS = ("weight", "bias")
_ENCODER_SINGLE = {"cmvn.mean": "global_cmvn.mean", "cmvn.istd": "global_cmvn.istd"}
_ENCODER = {  # modules of _WEIGHTS, like those of _BLOCK
    "subsampling.conv1": "enc.0.core.conv.0",
    "subsampling.conv2": "enc.0.core.conv.2",
    "subsampling.out": "enc.0.core.out.0",
    "embed.0": "enc.1.embed.0",
    "embed.1": "enc.1.embed.1",
    "after_norm": "enc.1.after_norm",
}
_BLOCK = {
    "attention.query": "self_attn.linear_q",
    "attention.key": "self_attn.linear_k",
    "attention.value": "self_attn.linear_v",
    "attention.out": "self_attn.linear_out",
    "feed_forward.0": "feed_forward.w_1",
    "feed_forward.3": "feed_forward.w_2",
    "norm1": "norm1",
    "norm2": "norm2",
}
_BLOCK_SINGLE = {
    "attention.place.weight": "self_attn.linear_pos.weight",
    "attention.bias_u": "self_attn.pos_bias_u",
    "attention.bias_v": "self_attn.pos_bias_v",
}
_BATCH_NORM = (*_WEIGHTS, "running_mean", "running_var", "num_batches_tracked")
# what the layout can say in train.yaml, and the one thing that was ever published
_FIXED = {
    "encoder-layer-config": "subsampling-transformer",
    "subsampling-rate": 4,
    "transformer-input-layer": "linear",
    "transformer-normalize-before": True,
    "transformer-pos-enc-class": "rel-enc",
    "transformer-positionwise-layer-type": "linear",
    "adpter_type": "subsampling",
    "add_prompt_before": True,
    "prompt_finetune": True,
    "predict_usr_state": 4,
}
_TRANSFORMER = {  # theirs, after `transformer-`: ours
    "attention-dim": "size",
    "attention-dropout-rate": "attention_dropout",
    "attention-heads": "heads",
    "chunk_size": "chunk_frames",
    "concat-after": "concat_after",
    "dropout-rate": "dropout",
    "dynamic-chunks": "dynamic_chunks",
    "left_chunks": "left_chunks",
    "linear-units": "ffn_size",
    "num-blocks": "layers",
}
# keys that say one width twice: (the key that is read, those that must agree with it where they are there)
_SAME = {
    "subsampling-input-dim": ("encoder-input-dim", "input_dim"),
    "transformer-attention-dim": (
        *("subsampling-output-dim", "transformer-input-dim", "transformer-output-dim"),
        *("encoder-output-dim", "enc_out_dim"),
    ),
    "transformer-chunk_size": ("chunk_size",),
}


@dataclass(frozen=True)
class ListenConfig:
    """What `train.yaml` says of the listening half.

    llm_size: width of the LLM's embeddings. prompt: number of prompt vectors. json_cmvn, cmvn_file: form and name of
    the statistics file.
    """

    encoder: EncoderConfig
    adapter: ConvAdapterConfig
    llm_size: int
    prompt: int
    json_cmvn: bool = True
    cmvn_file: str = "global_cmvn"


def read_listen(folder: str | Path) -> tuple[SpeechEncoder, ConvAdapter, dict[str, Tensor]]:
    """Encoder and adapter of an `audiollm` folder, in evaluation mode, and its other tensors. Raises ReleasedError."""
    folder = Path(folder)
    config = read_listen_config(folder / "train.yaml")
    theirs = read_tensors(folder / "final.pt")
    with checked(folder / "final.pt"):
        ours, others = from_released(theirs, config)
    with without_weights():
        encoder, adapter = _parts(config)
    for part, prefix in ((encoder, "encoder."), (adapter, "adapter.")):
        fill(part, {k.removeprefix(prefix): taken(v) for k, v in ours.items() if k.startswith(prefix)})
    return encoder.eval(), adapter.eval(), others


def read_listen_config(path: str | Path) -> ListenConfig:
    """`train.yaml` as our configurations. Raises ReleasedError for what was never published."""
    read_text(Path(path))
    with checked(Path(path)):
        content = read_yaml(path)
        conf, model = content["encoder_conf"], content["model_conf"]
        options = {
            **{key: value for key, value in content.items() if not key.endswith("_conf")},
            **conf["overview_conf"],
            **conf["para_conf"]["subsampling"],
            **conf["para_conf"]["transformer"],
            **model,
        }
        _check(options)
        encoder = {ours: options[f"transformer-{theirs}"] for theirs, ours in _TRANSFORMER.items()}
        encoder |= {"input_size": options["subsampling-input-dim"], "positions": "released", "start": "zero_features"}
        return ListenConfig(
            build(EncoderConfig, encoder, "encoder"),
            build(ConvAdapterConfig, _adapter(options), "adapter"),
            _count(options, "llm_embed_dim"),
            _count(options, "prompt_num"),
            bool(options.get("is_json_cmvn", True)),
            Path(str(options.get("cmvn_file", "global_cmvn"))).name,
        )


def _check(options: Mapping[str, Any]) -> None:
    check_fixed(options, _FIXED)
    for key, others in _SAME.items():
        for other in others:
            if options.get(other, options[key]) != options[key]:
                raise ValueError(f"{other} is {options[other]!r}, but {key} is {options[key]!r}: they must agree")


def _count(options: Mapping[str, Any], key: str) -> int:
    if not isinstance(options[key], int) or not 1 <= options[key] <= 1 << 20:
        raise ValueError(f"{key} is {options[key]!r}, expected a whole number above 0")
    return options[key]


def _parts(config: ListenConfig) -> tuple[SpeechEncoder, ConvAdapter]:
    adapter = ConvAdapter(config.adapter, config.encoder.size, config.llm_size)
    return SpeechEncoder(config.encoder), adapter


def from_released(theirs: Mapping[str, Tensor], config: ListenConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Our tensors (`encoder.`, `adapter.`) and those of other parts. Raises ValueError: names or shapes differ."""
    if config.encoder.layers > len(theirs):
        raise ValueError(f"{len(theirs)} tensors are too few for {config.encoder.layers} blocks")
    mapped = names(config)
    others = {name: theirs[name] for name in set(theirs) - set(mapped.values())}
    with shapes_only():
        encoder, adapter = _parts(config)
    shapes = state_shapes(encoder, "encoder.") | state_shapes(adapter, "adapter.")
    own = {k: v for k, v in theirs.items() if k not in others or k.startswith(("encoder.", "adpter."))}
    check_shapes(own, {name: shapes[ours] for ours, name in mapped.items()}, "train.yaml")
    return {ours: theirs[name] for ours, name in mapped.items()}, others


def to_released(ours: Mapping[str, Tensor], config: ListenConfig) -> dict[str, Tensor]:
    """Their names for our tensors (`encoder.`, `adapter.`). Raises ValueError: the layout cannot hold the model."""
    encoder, adapter = config.encoder, config.adapter
    if (encoder.positions, encoder.start) != ("released", "zero_features"):
        raise ValueError("encoder: only positions: released with start: zero_features can be expressed")
    if encoder.conv_kernel or encoder.channels != encoder.size:
        raise ValueError("encoder: conv_kernel and subsampling_channels cannot be expressed")
    if adapter.stride != 2:
        raise ValueError(f"adapter: stride {adapter.stride} cannot be expressed, only 2")
    two = 4 * encoder.size < config.llm_size
    if adapter.convolutions not in (0, 2 if two else 1):
        raise ValueError(f"adapter: the widths {encoder.size} and {config.llm_size} make {1 + two} convolutions there")
    if two and (adapter.norm, adapter.activation) != ("batch", "relu"):
        raise ValueError("adapter: two convolutions have norm: batch and activation: relu there")
    config = replace(config, adapter=replace(adapter, convolutions=2 if two else 1))
    mapped = names(config)
    if difference := sorted(set(ours) ^ set(mapped)):
        raise ValueError(f"the published layout and this model differ in {difference[0]}")
    return {theirs: ours[name] for name, theirs in mapped.items()}


def train_yaml(config: ListenConfig, chat_template: str, task_tokens: int) -> dict[str, Any]:
    """The inverse of `read_listen_config`, with the chat template and the number of task embeddings."""
    encoder, adapter = config.encoder, config.adapter
    size = encoder.size
    transformer = {theirs: getattr(encoder, ours) for theirs, ours in _TRANSFORMER.items()}
    transformer |= {"input-dim": size, "output-dim": size, "positional-dropout-rate": encoder.dropout}
    transformer = {f"transformer-{key}": value for key, value in transformer.items()}
    transformer |= {key: value for key, value in _FIXED.items() if key.startswith("transformer-")}
    subsampling = {"dropout-rate": encoder.dropout, "input-dim": encoder.input_size, "output-dim": size, "rate": 4}
    overview = {"encoder-input-dim": encoder.input_size, "encoder-output-dim": size}
    model = {key: value for key, value in _FIXED.items() if "-" not in key}
    model |= {
        "activation_func": adapter.activation,
        "chat_template": chat_template,
        "chunk_size": encoder.chunk_frames,
        "enc_out_dim": size,
        **dict.fromkeys(("freeze_adpter", "freeze_encoder", "freeze_llm"), True),
        "kernel_size": adapter.kernel,
        "llm_embed_dim": config.llm_size,
        "norm": adapter.norm,
        "prompt_num": config.prompt,
        "task_num": task_tokens,
    }
    return {
        "cmvn_file": config.cmvn_file,
        "encoder_conf": {
            "overview_conf": overview | {"encoder-layer-config": _FIXED["encoder-layer-config"]},
            "para_conf": {
                "subsampling": {f"subsampling-{key}": value for key, value in subsampling.items()},
                "transformer": transformer,
            },
        },
        "input_dim": encoder.input_size,
        "is_json_cmvn": config.json_cmvn,
        "model_conf": model,
    }


def _adapter(options: Mapping[str, Any]) -> dict[str, Any]:
    two = 4 * options["enc_out_dim"] < options["llm_embed_dim"]
    # the branch of two convolutions looks at neither switch
    return {
        "kernel": options["kernel_size"],
        "norm": "batch" if two else options["norm"],
        "activation": "relu" if two else options["activation_func"],
        "convolutions": 2 if two else 1,
        "chunk_frames": options["transformer-chunk_size"],
    }


def names(config: ListenConfig) -> dict[str, str]:
    """Our name: theirs."""
    tensors = _ENCODER_SINGLE | _with_kinds(_ENCODER)
    block = _BLOCK | ({"concat": "concat_linear"} if config.encoder.concat_after else {})
    of_block = _BLOCK_SINGLE | _with_kinds(block)
    for layer in range(config.encoder.layers):
        tensors |= {f"blocks.{layer}.{ours}": f"enc.1.encoders.{layer}.{theirs}" for ours, theirs in of_block.items()}
    numbers = (1, 2) if config.adapter.convolutions == 2 else (2,)
    convs = {f"layers.{layer}.conv": f"conv1d{number}" for layer, number in enumerate(numbers)}
    norms = {f"layers.{layer}.norm": f"bn{number}" for layer, number in enumerate(numbers)}
    kinds = _BATCH_NORM if config.adapter.norm == "batch" else _WEIGHTS
    adapter = _with_kinds(convs) | _with_kinds(norms, kinds) | _with_kinds({"project": "project"})
    return {f"encoder.{ours}": f"encoder.{theirs}" for ours, theirs in tensors.items()} | {
        f"adapter.{ours}": f"adpter.{theirs}" for ours, theirs in adapter.items()
    }


def _with_kinds(modules: Mapping[str, str], kinds: Sequence[str] = _WEIGHTS) -> dict[str, str]:
    """Names of the modules' tensors: `<module>.<kind>` of each."""
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules.items() for kind in kinds}
