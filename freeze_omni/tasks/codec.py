"""Task of stage 2.1: `python -m freeze_omni.bin.train codec`."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from espnet2.tasks.abs_task import optim_classes
from torch import nn

from freeze_omni.codec.codec import Codec
from freeze_omni.tasks.base import BaseTask, Preprocess, numbers
from freeze_omni.tasks.codec_config import CodecModelConfig
from freeze_omni.tasks.codec_model import CodecModel
from freeze_omni.tasks.preprocess import Reader
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.trainer import PartsGANTrainer, PartsTrainer


class CodecTask(BaseTask):
    """Reads wav.scp (24 kHz); trains the codec, and with `gan` its discriminators (optim2)."""

    config_class = CodecModelConfig
    files = {"speech": ("wav.scp", "sound")}
    sample_hz = 24000
    trainer = PartsGANTrainer
    num_optimizers = 2

    @classmethod
    def build_parts(cls, config: CodecModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"codec": Codec(config.codec)}
        if config.gan is not None:
            from freeze_omni.tasks.codec_gan import build_discriminator

            parts["discriminator"] = build_discriminator(config.gan)
        return parts

    @classmethod
    def trained(cls, config: CodecModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        return tuple(parts)

    @classmethod
    def assemble(cls, config: CodecModelConfig, parts: dict[str, Any], resources: Resources) -> CodecModel:
        if config.gan is None:
            return CodecModel(parts, config, cls.trained(config, parts))
        from freeze_omni.tasks.codec_gan import GanCodecModel

        return GanCodecModel(parts, config, cls.trained(config, parts))

    @classmethod
    def preprocess(cls, config: CodecModelConfig, resources: Resources, train: bool) -> Preprocess:
        return Reader({}, sound=("speech",))

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: nn.Module) -> list[torch.optim.Optimizer]:
        """One for the codec and one for the discriminators."""
        pairs = ((model.codec, args.optim, args.optim_conf),) + (
            ((model.discriminator, args.optim2, args.optim2_conf),) if cls.num_optimizers == 2 else ()
        )
        return [optim_classes[name](part.parameters(), **numbers(conf)) for part, name, conf in pairs]

    @classmethod
    def settle_options(cls, args: argparse.Namespace) -> None:
        super().settle_options(args)
        if cls.num_optimizers == 2:
            args.unused_parameters = True  # in each turn the other side's weights rest
            args.optim2_conf = numbers(args.optim2_conf)

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: list[str] | None = None):
        """Train with one optimizer or two, by whether the configuration has a `gan`."""
        args = cls.get_parser().parse_args(cmd) if args is None else args
        task = CodecTask if cls.model_config(args).gan is not None else PlainCodecTask
        BaseTask.main.__func__(task, args)


class PlainCodecTask(CodecTask):
    """Without discriminators: one optimizer and the ordinary trainer."""

    trainer = PartsTrainer
    num_optimizers = 1
