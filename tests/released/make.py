"""Random checkpoints in the published layout, of any sizes, written from the specification alone.

Names and shapes are spelt out here once more, on purpose: what imports them must not be what wrote them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<audio><|im_end|>\n"
    "<|im_start|>assistant\n"
)


@dataclass(frozen=True)
class Sizes:
    """Sizes and switches of a checkpoint.

    levels: values are rounded to this number of steps, and most of the large tensors are zero, so that a miniature
    compresses well; 0 leaves them as drawn.
    """

    mel: int = 80
    width: int = 20
    heads: int = 2
    ffn: int = 24
    blocks: int = 2
    chunk: int = 4
    left: int = 2
    concat: bool = True
    json_cmvn: bool = False
    llm: int = 96
    kernel: int = 4
    norm: str = "batch"
    activation: str = "relu"
    prompt: int = 2
    tasks: int = 3
    dec_width: int = 24
    dec_heads: int = 3
    dec_ffn: int = 40
    dec_layers: int = 3
    codes: int = 24
    bare: bool = True
    rates: tuple[int, ...] = (3, 4, 5, 4)
    rate_kernels: tuple[int, ...] = (3, 6, 7, 8)
    channels: int = 256
    block: str = "2"
    block_kernels: tuple[int, ...] = (3,)
    dilations: tuple[tuple[int, ...], ...] = ((2,),)
    global_tokens: int = 2
    global_conv: tuple[int, int, int, int, int] = (128, 16, 32, 3, 1)
    sampling_rate: int = 16000
    top_k: int = 2
    penalty: float = 1.2
    window: int = 6
    levels: int = 0


FULL = Sizes(
    width=1024,
    heads=16,
    ffn=4096,
    blocks=24,
    left=16,
    concat=False,
    json_cmvn=True,
    llm=3584,
    kernel=5,
    norm="layer",
    activation="gelu",
    prompt=25,
    tasks=10,
    dec_width=896,
    dec_heads=14,
    dec_ffn=4864,
    dec_layers=4,
    codes=1024,
    bare=False,
    rates=(8, 5, 5, 3),
    rate_kernels=(16, 11, 11, 5),
    channels=512,
    block="1",
    block_kernels=(3, 7, 11),
    dilations=((1, 3, 5),) * 3,
    global_tokens=8,
    global_conv=(128, 128, 128, 3, 1),
    sampling_rate=24000,
    penalty=1.1,
    window=20,
)


def write_checkpoint(folder: Path, sizes: Sizes, seed: int = 3) -> Path:
    """Write all files of a checkpoint and return its folder."""
    draw = torch.Generator().manual_seed(seed)
    for name in ("audiollm", "decoder", "codec"):
        (folder / name).mkdir(parents=True)
    statistics, mean, istd = _cmvn(sizes, draw)
    heard = _draw(audiollm(sizes), sizes, draw)
    heard |= {"encoder.global_cmvn.mean": mean, "encoder.global_cmvn.istd": istd}
    torch.save(heard, folder / "audiollm" / "final.pt")
    (folder / "audiollm" / "global_cmvn").write_text(statistics)
    (folder / "audiollm" / "train.yaml").write_text(yaml.safe_dump(train_yaml(sizes)))
    spoken = _draw(decoder(sizes), sizes, draw)
    torch.save(spoken if sizes.bare else {"model": spoken}, folder / "decoder" / "final.pt")
    _write_json(folder / "decoder" / "model.json", model_json(sizes))
    groups = {name: _draw(shapes, sizes, draw) for name, shapes in codec(sizes).items()}
    torch.save(groups, folder / "codec" / "final.pt")
    _write_json(folder / "codec" / "model.json", codec_json(sizes))
    _write_json(folder / "server.json", server_json(sizes))
    return folder


def audiollm(s: Sizes) -> Shapes:
    """audiollm/final.pt without the statistics."""
    bins = ((s.mel - 1) // 2 - 1) // 2
    shapes: Shapes = {
        **_linear("encoder.enc.0.core.conv.0", s.width, 1, 3, 3),
        **_linear("encoder.enc.0.core.conv.2", s.width, s.width, 3, 3),
        **_linear("encoder.enc.0.core.out.0", s.width, s.width * bins),
        **_linear("encoder.enc.1.embed.0", s.width, s.width),
        **_linear("encoder.enc.1.embed.1", s.width),
        **_linear("encoder.enc.1.after_norm", s.width),
    }
    for index in range(s.blocks):
        block = f"encoder.enc.1.encoders.{index}"
        for name in ("q", "k", "v", "out"):
            shapes |= _linear(f"{block}.self_attn.linear_{name}", s.width, s.width)
        shapes[f"{block}.self_attn.linear_pos.weight"] = (s.width, s.width)
        for name in ("u", "v"):
            shapes[f"{block}.self_attn.pos_bias_{name}"] = (s.heads, s.width // s.heads)
        shapes |= _linear(f"{block}.feed_forward.w_1", s.ffn, s.width)
        shapes |= _linear(f"{block}.feed_forward.w_2", s.width, s.ffn)
        shapes |= _linear(f"{block}.norm1", s.width) | _linear(f"{block}.norm2", s.width)
        if s.concat:
            shapes |= _linear(f"{block}.concat_linear", s.width, 2 * s.width)
    two = 4 * s.width < s.llm
    layers = {"1": (2, 1), "2": (4, 2)} if two else {"2": (2, 1)}
    for number, (outputs, inputs) in layers.items():
        shapes |= _linear(f"adpter.conv1d{number}", outputs * s.width, inputs * s.width, s.kernel)
        shapes |= _linear(f"adpter.bn{number}", outputs * s.width)
        if two or s.norm == "batch":
            for name in ("running_mean", "running_var"):
                shapes[f"adpter.bn{number}.{name}"] = (outputs * s.width,)
            shapes[f"adpter.bn{number}.num_batches_tracked"] = ()
    shapes |= _linear("adpter.project", s.llm, (4 if two else 2) * s.width)
    shapes |= {"task_embeddings.weight": (s.tasks, s.llm), "prompt_embeddings.weight": (s.prompt, s.llm)}
    return shapes | _linear("predictor_head", 4, s.llm)


def decoder(s: Sizes) -> Shapes:
    """decoder/final.pt."""
    d, vocabulary = s.dec_width, s.codes + 4
    shapes: Shapes = {"embedding.weight": (vocabulary, d), "norm.weight": (d,), **_linear("out_fnn", vocabulary, d)}
    stacks = {"layers_pre_nn": s.dec_layers // 2, "layers_prefix": s.dec_layers, "layers": s.dec_layers}
    for stack, count in stacks.items():
        for index in range(count):
            layer = f"{stack}.{index}"
            for name in ("q", "k", "v", "o"):
                shapes[f"{layer}.self_attn.{name}_proj.weight"] = (d, d)
            shapes[f"{layer}.mlp.gate_proj.weight"] = shapes[f"{layer}.mlp.up_proj.weight"] = (s.dec_ffn, d)
            shapes[f"{layer}.mlp.down_proj.weight"] = (d, s.dec_ffn)
            shapes[f"{layer}.input_layernorm.weight"] = shapes[f"{layer}.post_attention_layernorm.weight"] = (d,)
    return shapes


def codec(s: Sizes) -> dict[str, Shapes]:
    """codec/final.pt."""
    generator, encoder, count = _normed("conv_pre", s.channels, 512, 7), _normed("conv_pre", 32, 1, 7), 0
    channels = s.channels
    for stage, kernel in enumerate(s.rate_kernels):
        generator |= {
            f"ups.{stage}.weight_g": (channels, 1, 1),
            f"ups.{stage}.weight_v": (channels, channels // 2, kernel),
            f"ups.{stage}.bias": (channels // 2,),
        }
        channels //= 2
        for size, dilations in zip(s.block_kernels, s.dilations, strict=True):
            generator |= _block(f"resblocks.{count}", s.block, channels, size, len(dilations))
            count += 1
    generator |= _normed("conv_post", 1, channels, 7)
    channels, count = 32, 0
    for stage, kernel in enumerate(reversed(s.rate_kernels)):
        encoder |= _normed(f"ups.{stage}", 2 * channels, channels, kernel)
        channels *= 2
        for size, dilations in zip(reversed(s.block_kernels), reversed(s.dilations), strict=True):
            encoder |= _block(f"resblocks.{count}", s.block, channels, size, len(dilations))
            encoder |= _linear(f"normalize.{count}", channels)
            count += 1
    inputs, hidden, outputs, size, _ = s.global_conv
    encoder |= _linear("conv_post", 512, 512, 3) | _linear("linear.0", 128, 128)
    for index, (before, after) in {0: (inputs, hidden), 2: (hidden, hidden), 4: (hidden, outputs)}.items():
        encoder[f"GlobalTokenEncoder.conv.{index}.weight"] = (after, before, size)
    encoder |= _linear("GlobalTokenEncoder.fn.0", 128, outputs) | _linear("GlobalTokenEncoder.fn.2", 128)
    encoder |= {f"GlobalTokenEncoder.fn.2.running_{name}": (128,) for name in ("mean", "var")}
    encoder["GlobalTokenEncoder.fn.2.num_batches_tracked"] = ()
    quantizer = {"quantizer_modules.0.embedding.weight": (s.codes, 512)}
    for index in range(s.global_tokens):
        name = f"quantizer_modules_globaltokens.{index}.embedding.weight"
        quantizer[name] = (s.codes, 128 // s.global_tokens)
    return {"generator": generator, "quantizer": quantizer, "encoder": encoder}


def train_yaml(s: Sizes) -> dict[str, Any]:
    """audiollm/train.yaml."""
    subsampling = {"dropout-rate": 0.1, "input-dim": s.mel, "output-dim": s.width, "rate": 4}
    transformer = {
        "attention-dim": s.width,
        "attention-dropout-rate": 0.0,
        "attention-heads": s.heads,
        "chunk_size": s.chunk,
        "concat-after": s.concat,
        "dropout-rate": 0.1,
        "dynamic-chunks": False,
        "input-dim": s.width,
        "input-layer": "linear",
        "left_chunks": s.left,
        "linear-units": s.ffn,
        "normalize-before": True,
        "num-blocks": s.blocks,
        "output-dim": s.width,
        "pos-enc-class": "rel-enc",
        "positional-dropout-rate": 0.1,
        "positionwise-layer-type": "linear",
    }
    model = {
        "activation_func": s.activation,
        "add_prompt_before": True,
        "adpter_type": "subsampling",
        "chat_template": TEMPLATE,
        "chunk_size": s.chunk,
        "enc_out_dim": s.width,
        "kernel_size": s.kernel,
        "llm_embed_dim": s.llm,
        "norm": s.norm,
        "predict_usr_state": 4,
        "prompt_finetune": True,
        "prompt_num": s.prompt,
        "task_num": s.tasks,
    }
    overview = {"input-dim": s.mel, "layer-config": "subsampling-transformer", "output-dim": s.width}
    return {
        "cmvn_file": "global_cmvn",
        "encoder_conf": {
            "overview_conf": {f"encoder-{key}": value for key, value in overview.items()},
            "para_conf": {
                "subsampling": {f"subsampling-{key}": value for key, value in subsampling.items()},
                "transformer": {f"transformer-{key}": value for key, value in transformer.items()},
            },
        },
        "input_dim": s.mel,
        "is_json_cmvn": s.json_cmvn,
        "model_conf": model,
    }


def model_json(s: Sizes) -> list[Any]:
    """decoder/model.json."""
    options = {
        "idim": s.dec_width,
        "odim": s.codes,
        "kv_cache_prefix_finetune": 1,
        "transformer_attention_dim": s.dec_width,
        "transformer_linear_units": s.dec_ffn,
        "transformer_num_blocks": s.dec_layers,
        "transformer_attention_heads": s.dec_heads,
        "transformer_dropout_rate": 0.0,
    }
    return [s.dec_width, s.codes, options]


def codec_json(s: Sizes) -> dict[str, Any]:
    """codec/model.json."""
    return {
        "resblock": s.block,
        "upsample_rates": s.rates,
        "upsample_kernel_sizes": s.rate_kernels,
        "upsample_initial_channel": s.channels,
        "resblock_kernel_sizes": s.block_kernels,
        "resblock_dilation_sizes": s.dilations,
        "n_code_groups": 1,
        "residul_layer": 1,
        "n_codes": s.codes,
        "global_code_num": s.global_tokens,
        "global_feature_conv": s.global_conv,
        "sampling_rate": s.sampling_rate,
        "global_tokens": [(7 * index + 3) % s.codes for index in range(s.global_tokens)],
    }


def server_json(s: Sizes) -> dict[str, Any]:
    """server.json."""
    return {
        "decoder_first_chunk_size": 20 if s.codes > 100 else 8,
        "decoder_chunk_overlap_size": 10 if s.codes > 100 else 3,
        "decoder_chunk_size": 40 if s.codes > 100 else 12,
        "decoder_seg_threshold_first_pack": 0.1,
        "decoder_seg_threshold": 0.1,
        "decoder_top_k": s.top_k,
        "decoder_penalty_window_size": s.window,
        "decoder_penalty": s.penalty,
        "decoder_N": 1201,
    }


def _linear(name: str, outputs: int, *inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def _normed(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    """A weight-normalised convolution."""
    shapes = {f"{name}.weight_g": (outputs, 1, 1), f"{name}.weight_v": (outputs, inputs, kernel)}
    return shapes | {f"{name}.bias": (outputs,)}


def _block(name: str, kind: str, channels: int, kernel: int, dilations: int) -> Shapes:
    shapes: Shapes = {}
    for stack in ("convs1", "convs2") if kind == "1" else ("convs",):
        for index in range(dilations):
            shapes |= _normed(f"{name}.{stack}.{index}", channels, channels, kernel)
    return shapes


def _draw(shapes: Shapes, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
    return {name: _tensor(name, shape, sizes.levels, generator) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...], levels: int, generator: torch.Generator) -> Tensor:
    """Sizes that keep a signal alive through many layers: weights by their fan-in, gains around one."""
    if not shape:
        return torch.tensor(7)
    x = torch.randn(shape, generator=generator)
    if levels and x.numel() > 1 << 15:  # mostly zeros
        x = x.sign() * (torch.rand(shape, generator=generator) < 0.01) * 10
    elif levels:
        x = (x * levels).round() / levels
    if levels and len(shape) > 1:  # a weight-normalised row must not be zero
        rows = x.flatten(1)
        rows[rows.abs().sum(1) == 0, 0] = 1.0
    gain = name.endswith("weight_g") or (len(shape) == 1 and name.endswith("weight"))
    if gain:
        return 1 + 0.25 * x
    if name.endswith("running_var"):
        return 1 + x.abs()
    if len(shape) == 1:
        return 0.25 * x
    return x if "embedding" in name else x * 2.0 ** round(-math.log2(math.prod(shape[1:])) / 2)


def _cmvn(s: Sizes, generator: torch.Generator) -> tuple[str, Tensor, Tensor]:
    """The statistics file, and mean and inverse deviation from its sums."""
    frames = 1000
    mean = 12 + torch.rand(s.mel, generator=generator, dtype=torch.double)
    variance = 4 + torch.rand(s.mel, generator=generator, dtype=torch.double)
    total, square = mean * frames, (variance + mean.square()) * frames
    found = total / frames
    istd = (square / frames - found.square()).clamp_min(1e-20).rsqrt()
    if s.json_cmvn:
        text = json.dumps({"mean_stat": total.tolist(), "var_stat": square.tolist(), "frame_num": frames})
    else:
        rows = [" ".join(map(repr, values)) for values in ([*total.tolist(), frames], [*square.tolist(), 0])]
        text = f" [\n  {rows[0]}\n  {rows[1]} ]\n"
    return text, found.float(), istd.float()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1))
