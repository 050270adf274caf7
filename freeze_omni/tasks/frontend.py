"""Stage 1.0 (ours): a pretrained speech model learns to say of a stream what it says of whole recordings, from sound
alone. `python -m freeze_omni.bin.train frontend`.

With kept keys and values, what came before a chunk has not heard what came after it. The model is adapted to that by
self-distillation: its features of the stream shall be those that the published model makes of the whole recording. One
that hears windows needs no training, and is written as it is published.
"""

import argparse
import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from freeze_omni.config import ConfigError
from freeze_omni.data.augment import AugmentConfig
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.load import describe, load_weights
from freeze_omni.frontend.pretrained import SAMPLE_HZ, PretrainedConfig, PretrainedFrontend
from freeze_omni.frontend.speech_model import SpeechModel
from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.tasks.base import BaseTask, Preprocess, start_records
from freeze_omni.tasks.parts_model import PartsModel, Result, pairs, training_result
from freeze_omni.tasks.preprocess import Reader, build_augment
from freeze_omni.tasks.resources import Resources


@dataclass(frozen=True, kw_only=True)
class FrontendModelConfig:
    """Keys under `model:` of stage 1.0. frontend: how the model (--encoder) is used. augment: changes of the sound.
    most_s: of a longer recording, its beginning; a whole one must fit the model. as_published: nothing is learned, as
    for a transcriber, whose decoder knows the encoder as it was published."""

    frontend: PretrainedConfig
    augment: AugmentConfig | None = None
    most_s: float = 20.0
    as_published: bool = False

    def __post_init__(self) -> None:
        if self.most_s <= 0:
            raise ValueError("most_s: give seconds above 0")


class FrontendModel(PartsModel):
    """The frontend as it is in use, taught by the published model on whole recordings, which is no part."""

    def __init__(self, frontend: PretrainedFrontend, teacher: SpeechModel, config: FrontendModelConfig):
        super().__init__({"frontend": frontend, "teacher": teacher}, ("frontend",))
        self.most_samples = round(config.most_s * SAMPLE_HZ)

    def train(self, mode: bool = True) -> PartsModel:
        """Neither of the two draws dropout: the one shall say what the other says."""
        super().train(mode)
        self.frontend.eval()
        return self

    def forward(self, **batch: Tensor) -> Result:
        """speech (B, S) at 16 kHz in [-1, 1] with lengths. The loss is the squared error of the features, over their
        variance: 1 is that of a constant."""
        wav, lengths = pairs(batch, "speech")[0]
        wav, lengths = wav[:, : self.most_samples], lengths.clamp_max(self.most_samples)
        part = self.frontend
        wav = silence_padding(nn.functional.pad(wav, (0, -wav.shape[1] % part.chunk_samples)), lengths)
        late = part.delay_samples // part.shift_samples
        feats = part(nn.functional.pad(wav, (0, part.delay_samples)), lengths + part.delay_samples)[0][:, late:]
        with torch.no_grad():
            wanted = self.teacher(wav).reshape(feats.shape).float()
        valid = valid_mask(lengths // part.shift_samples, feats.shape[1])
        loss = (feats.float() - wanted)[valid].square().mean() / wanted[valid].var()
        return training_result(loss, {}, len(wav))


class FrontendTask(BaseTask):
    """Reads wav.scp (16 kHz); trains the speech model that --encoder names, all but its positions."""

    config_class = FrontendModelConfig
    files = {"speech": ("wav.scp", "sound")}

    @classmethod
    def set_up(cls, args: argparse.Namespace) -> tuple[FrontendModelConfig, Resources]:
        config, resources = super().set_up(args)
        if resources.encoder is None:
            raise ConfigError("stage 1.0 adapts a pretrained speech encoder: give --encoder")
        return replace(config, frontend=replace(config.frontend, model=describe(resources.encoder))), resources

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        config = cls.set_up(args)[0]
        if config.frontend.cached and not config.as_published:
            super().main_worker(args)
            return
        logging.info(f"{'as_published' if config.as_published else 'context: windows'}: the model stays as it is")
        start_records(args)
        state, folder = cls.build_model(args).state_dict(), Path(args.output_dir)
        torch.save(state, folder / f"{'.'.join(args.best_model_criterion[0][:2])}.ave.pth")
        (folder / "config.yaml").write_text(yaml.safe_dump({"model": args.model}), encoding="utf-8")

    @classmethod
    def build_parts(cls, config: FrontendModelConfig, resources: Resources) -> dict[str, nn.Module]:
        try:
            frontend = build_frontend(config.frontend)
        except ValueError as error:
            raise ConfigError(f"--encoder {resources.encoder}: {error}") from None
        if resources.loads:
            load_weights(frontend, resources.encoder)
        frontend.requires_grad_(True)
        for name, parameter in frontend.named_parameters():
            parameter.requires_grad_("embed_positions" not in name)
        return {"frontend": frontend}

    @classmethod
    def assemble(cls, config: FrontendModelConfig, parts: dict[str, Any], resources: Resources) -> FrontendModel:
        frontend = parts["frontend"]
        return FrontendModel(frontend, copy.deepcopy(frontend.model).requires_grad_(False), config)

    @classmethod
    def preprocess(cls, config: FrontendModelConfig, resources: Resources, train: bool) -> Preprocess | None:
        return Reader({}, ("speech",), build_augment(config.augment, train, cls.sample_hz))
