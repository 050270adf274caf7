"""Task of stage 1.1: `python -m freeze_omni.bin.train encoder`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from freeze_omni.config import ConfigError
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.frontend.cmvn import Cmvn
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.encoder_model import BYTES, EncoderModel, EncoderModelConfig, spell_bytes
from freeze_omni.tasks.preprocess import Reader, build_augment
from freeze_omni.tasks.resources import Resources


class EncoderTask(BaseTask):
    """Reads wav.scp (16 kHz) and text; trains encoder and CTC head."""

    config_class = EncoderModelConfig
    files = {"speech": ("wav.scp", "sound"), "text": ("text", "text")}

    @classmethod
    def build_parts(cls, config: EncoderModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        encoder = SpeechEncoder(config.encoder)
        parts: dict[str, nn.Module] = {"encoder": encoder, "ctc": CtcHead(encoder.output_size, sizes.unit_size)}
        if config.spelling is not None:
            parts["spelling"] = CtcHead(encoder.output_size, BYTES + 1)
        return parts

    @classmethod
    def trained(cls, config: EncoderModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        return tuple(parts)

    @classmethod
    def assemble(cls, config: EncoderModelConfig, parts: dict[str, Any], resources: Resources) -> EncoderModel:
        if resources.cmvn is not None:
            parts["encoder"].cmvn.load_state_dict(read_cmvn(resources.cmvn).state_dict())
        return EncoderModel(parts, config, cls.trained(config, parts))

    @classmethod
    def preprocess(cls, config: EncoderModelConfig, resources: Resources, train: bool) -> Preprocess:
        augment = build_augment(config.augment, train, cls.sample_hz)
        texts = {"text": ("text", resources.units.encode), "spelling": ("text", spell_bytes)}
        return Reader(texts, ("speech",), augment)


def read_cmvn(path: str) -> Cmvn:
    """From the feats_stats.npz that `--collect_stats true` wrote. Raises ConfigError where it cannot be used."""
    try:
        with np.load(path) as stats:
            sums = (torch.from_numpy(stats["sum"]), torch.from_numpy(stats["sum_square"]))
            return Cmvn.from_sums(float(stats["count"]), *sums)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"--cmvn {path}: {error}; make it with --collect_stats true (stage 3)") from None
