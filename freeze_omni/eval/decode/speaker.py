"""Speech by what there is before a whole model: the codec of stage 2.1, and the speech decoder of stage 2.2 with the
LLM's embedding. Read from checkpoints (.pth) beside their config.yaml.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freeze_omni.checkpoint import read_model
from freeze_omni.codec.codec import Codec
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.audio import read_audio
from freeze_omni.eval.decode import options
from freeze_omni.eval.decode.encoder import read_llm
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.rates import Rates
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.spell import text_ids
from freeze_omni.system import TEXT_STYLES

KEYS = ("speech_decoder", "text_style")  # of a configuration of stage 2.2, which has others for training


class Copier(nn.Module):
    """A codec alone, under the name that a whole model has for it."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec
        self.rates = Rates(output_hz=codec.config.sample_rate_hz)


@dataclass(frozen=True)
class SpeakerConfig:
    """What a packed model's configuration says of its voice."""

    speech_decoder: SpeechDecoderConfig
    text_style: str = "plain"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


class Speaker(Copier):
    """Text to speech without the NAR prefix, which stage 2.3 trains.

    voice: the codec's global code of the voice that speaks, one row.
    """

    def __init__(self, codec: Codec, config: SpeakerConfig, llm: FrozenLLM, voice: torch.Tensor) -> None:
        super().__init__(codec)
        self.config, self.llm, self.voice = config, llm, voice
        self.speech_decoder = SpeechDecoder(config.speech_decoder, llm.hidden_size)

    def spoken_ids(self, text: str) -> list[int]:
        """LLM ids by which the speech decoder speaks a text, as those of a whole model."""
        spoken = TEXT_STYLES[self.config.text_style](text)
        return text_ids(spoken, self.llm.tokenizer, self.config.speech_decoder.text_units)


def load(arguments: argparse.Namespace) -> Any:
    """What speaks: the packed model of the arguments, or what a checkpoint of theirs (.pth) gives.

    model: of stage 2.1, which copies; or of stage 2.2, beside codec (of 2.1), llm and voice (a sound file).
    Raises ConfigError.
    """
    if arguments.model.suffix != ".pth":
        return options.load_model(arguments.model, arguments.threads, arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    if arguments.codec is None:
        return Copier(read_model([f"{arguments.model}:codec"]).codec)
    return read_speaker(arguments.model, arguments.codec, arguments.llm, arguments.voice)


def read_speaker(path: Path, codec_path: Path, llm_folder: Path | None, voice: Path | None) -> Speaker:
    """Raises ConfigError: something is missing, or the checkpoint is not one of stage 2.2."""
    if llm_folder is None or voice is None:
        raise ConfigError(f"{path}: a speech decoder needs --codec, --llm and --voice, a sound file of the voice")
    if not path.is_file():
        raise ConfigError(f"{path}: no such checkpoint; train the speech decoder first (stage 9)")
    where = path.parent / "config.yaml"
    model = {key: value for key, value in (read_yaml(where).get("model") or {}).items() if key in KEYS}
    codec = read_model([f"{codec_path}:codec"]).codec
    wav = torch.from_numpy(read_audio(str(voice), codec.config.sample_rate_hz)[0])
    with torch.no_grad():
        code = codec.global_code(wav[None], torch.tensor([len(wav)]))
    speaker = Speaker(codec, build(SpeakerConfig, model, f"{where}: model"), read_llm(llm_folder), code)
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("model", content)
    prefix = "speech_decoder."
    try:
        speaker.speech_decoder.load_state_dict(
            {key[len(prefix) :]: value for key, value in content.items() if key.startswith(prefix)}
        )
    except RuntimeError as error:
        raise ConfigError(f"{path}: does not fit {where}: {error}") from None
    return speaker.eval()
