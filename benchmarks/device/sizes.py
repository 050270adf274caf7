"""What is built: the paper's configuration around a 7B-shaped LLM, or the same at toy widths, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from freeze_omni.config import build, read_yaml
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.units import CtcUnits
from freeze_omni.streaming import join_parts
from freeze_omni.system import FreezeOmni, SystemConfig, build_parts, empty_voice
from tests.toy import toy_tokenizer

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "egs/TEMPLATE/s2s1/conf/paper"
WORDS = (" yes", " it", " is", " a", " fine", " day", " today", ",")  # a segment of eight tokens, by its comma
ALWAYS_QUIET = 2.0  # as a level of samples in [-1, 1]: what random weights say is never silent


@dataclass(frozen=True)
class Size:
    """llm: sizes of a Qwen2. changes: of conf/paper, file name -> keys. context: LLM positions read before what is
    measured. row_s: seconds of a training row, where not `benchmarks.paper_scale`'s. repeats: of each timed piece, at
    most. sessions: tried at most."""

    llm: Mapping[str, int]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    context: int = 512
    row_s: Mapping[str, float] = field(default_factory=lambda: {"encoder": 10.0, "adapter": 10.0})
    repeats: int = 40
    sessions: int = 512


QWEN2_7B = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
}
TOY_LLM = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
TOY_JUDGES = {
    "scales": 1,
    "scale_discriminator_params": {"channels": 4, "max_downsample_channels": 8, "max_groups": 1},
    "periods": [2],
    "period_discriminator_params": {"channels": 4, "max_downsample_channels": 8},
    "stft": {"filters": 2, "max_filters": 4},
}
TOY_CONF = {
    "1.1_encoder": {
        "model": {"encoder": {"size": 32, "layers": 1, "heads": 2, "ffn_size": 32}},
        "batch_bins": 8 * 32000,
    },
    "1.2_adapter_conv": {"batch_bins": 8 * 32000, "llm_size": TOY_LLM["hidden_size"]},
    "1.3_dialogue": {"batch_size": 8, "llm_size": TOY_LLM["hidden_size"]},
    "2.1_codec": {
        "model": {
            "codec": {
                "time_domain": {"channels": 32, "block_kernels": [3], "block_dilations": [[1]]},
                "global_code": {"dim": 16},
            },
            "segment_s": 0.1,
            "reference_s": 0.1,
            "gan": {"discriminator_conf": TOY_JUDGES},
        },
        "batch_size": 16,
    },
    "2.2_speech_decoder": {
        "model": {"speech_decoder": {"size": 16, "heads": 2, "ffn_size": 32, "layers": 1, "pre_layers": 1}},
        "batch_size": 8,
        "llm_size": TOY_LLM["hidden_size"],
    },
    "2.3_prefix": {"batch_size": 8, "llm_size": TOY_LLM["hidden_size"]},
}
TOY_ROW_S = dict.fromkeys(("encoder", "adapter", "dialogue", "codec", "speech_decoder", "prefix"), 1.0)
SIZES = {
    "released": Size(QWEN2_7B),
    "toy": Size(TOY_LLM, TOY_CONF, context=32, row_s=TOY_ROW_S, repeats=1, sessions=2),
}


def conf_folder(size: Size, work: Path) -> Path:
    """conf/paper, or a copy of it in `work` with the size's changes."""
    if not size.changes:
        return CONF
    for path in CONF.glob("*.yaml"):
        changed = _merged(read_yaml(path), size.changes.get(path.stem, {}))
        (work / path.name).write_text(yaml.safe_dump(changed), encoding="utf-8")
    return work


def _merged(one: Any, other: Any) -> Any:
    if not isinstance(one, dict) or not isinstance(other, Mapping):
        return other
    return one | {key: _merged(one.get(key), value) for key, value in other.items()}


def build_llm(size: Size, device: torch.device) -> FrozenLLM:
    """In bfloat16, made on the device; its tokenizer writes `WORDS` over and over, whatever the ids."""
    tokenizer = toy_tokenizer(texts=["".join(WORDS)] * 3)
    config = AutoConfig.for_model("qwen2", **size.llm, eos_token_id=tokenizer.eos_token_id)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    llm = FrozenLLM(model, tokenizer, "random weights")
    tokenizer.decode = _written
    return llm


def _written(ids: list[int], **_: object) -> str:
    return "".join(WORDS[number % len(WORDS)] for number in range(len(ids)))


def system_config(conf: Path, llm_size: int) -> SystemConfig:
    """What conf/paper packs, as the published model without CTC head."""
    heard, adapted, asked, coded, spoken = (
        read_yaml(conf / f"{name}.yaml")["model"]
        for name in ("1.1_encoder", "1.2_adapter_conv", "1.3_dialogue", "2.1_codec", "2.2_speech_decoder")
    )
    keys = {
        "encoder": heard["encoder"],
        "adapter": adapted["adapter"],
        **{key: asked[key] for key in ("prompt", "history", "state_head")},
        "codec": coded["codec"],
        **spoken,
        **read_yaml(conf / "pack.yaml"),
        "llm_size": llm_size,
    }
    config = build(SystemConfig, keys, str(conf))
    return replace(config, fifo=replace(config.fifo, threshold=ALWAYS_QUIET))


def build_model(conf: Path, llm: FrozenLLM, device: torch.device) -> FreezeOmni:
    """The parts in float32, as a server has them, with weights that are drawn on the device."""
    config = system_config(conf, llm.hidden_size)
    with torch.device(device):
        parts = {name: part.state_dict() for name, part in build_parts(config).items()}
    state = join_parts(parts) | {"voice": empty_voice(config.codec)}
    return FreezeOmni(config, llm, CtcUnits.none(), state).to(device)
