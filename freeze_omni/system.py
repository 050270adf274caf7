"""FreezeOmni: the paper's parts, composed from one configuration around one frozen LLM."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.codec.build import build_codec
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.fifo import FifoConfig
from freeze_omni.duplex.state_head import StateHead, StateHeadConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import build_ctc
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.llm.chat import ChatTexts
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.llm.tuned import PART, LlmTuningConfig, build_tuning, tuned
from freeze_omni.llm.units import CtcUnits
from freeze_omni.rates import Rates
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.normalise import normalise, spoken_english
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import SegmentConfig
from freeze_omni.speech_decoder.spell import text_ids
from freeze_omni.weights import fill, without_weights

TEXT_STYLES = {"plain": str.strip, "released": normalise, "english": spoken_english}


@dataclass(frozen=True)
class LlmConfig:
    """path: a folder, relative to the packed one, or a hub id. fingerprint: of the weights trained
    with; empty is not checked."""

    path: str = "llm"
    dtype: str = "float32"
    fingerprint: str = ""


@dataclass(frozen=True)
class SystemConfig:
    """Everything that a packed folder's config.yaml says.

    ctc_units, llm_size: sizes by which the weights are checked before anything large is read; a model of 0 units
    has no CTC head and transcribes nothing.
    prompt: prompt vectors in front of every user turn's speech (stage 1.3). task_tokens: vectors
    of stage 1.2, which nothing reads afterwards; 0 leaves them out. text_style: what is done to a
    text before it is spoken. generation, segments, sampling: how answers are written, cut, spoken.
    chat: the template that the model was trained with; None is the LLM's own. fifo: speech is streamed as the
    published server does, cut at quiet points; None is ours, exact. notice: of the weights' licence.
    llm_tuning: what was learned beside the LLM, for ablations; None is the paper's way.
    """

    adapter: AdapterChoice
    ctc_units: int
    llm_size: int
    llm: LlmConfig = field(default_factory=LlmConfig)
    rates: Rates = field(default_factory=Rates)
    fbank: FbankConfig = field(default_factory=FbankConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    prompt: int = 25
    task_tokens: int = 0
    state_head: StateHeadConfig = field(default_factory=StateHeadConfig)
    speech_decoder: SpeechDecoderConfig = field(default_factory=SpeechDecoderConfig)
    text_style: Literal["plain", "released", "english"] = "plain"
    codec: CodecConfig = field(default_factory=CodecConfig)
    system_prompt: str = "You are a helpful assistant."
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    segments: SegmentConfig = field(default_factory=lambda: SegmentConfig(rule="sentence"))
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    chat: ChatTexts | None = None
    fifo: FifoConfig | None = None
    notice: str = ""
    llm_tuning: LlmTuningConfig | None = None

    def __post_init__(self) -> None:
        rates, fbank = self.rates, self.fbank
        same = {
            "rates.input_hz, fbank.sample_hz": (rates.input_hz, fbank.sample_hz),
            "rates.mel_bins, encoder.input_size": (rates.mel_bins, self.encoder.input_size),
            "rates.chunk_frames, encoder.chunk_frames": (
                rates.chunk_frames,
                self.encoder.chunk_frames,
            ),
            "rates.output_hz, codec.sample_rate_hz": (rates.output_hz, self.codec.sample_rate_hz),
            "rates.token_samples, codec.hop_samples": (rates.token_samples, self.codec.hop_samples),
            "speech_decoder.codes, codec.quantiser.codebook_size": (
                self.speech_decoder.codes,
                self.codec.quantiser.codebook_size,
            ),
        }
        for names, (one, other) in same.items():
            if one != other:
                raise ValueError(f"{names} must be equal, not {one} and {other}")


def build_parts(
    config: SystemConfig, unit_embeds: Tensor | None = None, llm: FrozenLLM | None = None
) -> dict[str, nn.Module]:
    """Our parts with fresh weights, by the prefixes of their checkpoints.

    unit_embeds (ctc_units, llm_size): where `config.adapter.needs_unit_embeds`. llm: where `config.llm_tuning`.
    """
    encoder = SpeechEncoder(config.encoder)
    parts = {
        "encoder": encoder,
        "ctc": build_ctc(encoder.output_size, config.ctc_units),
        "adapter": build_adapter(config.adapter, encoder.output_size, config.llm_size, unit_embeds),
        "prompt": nn.Embedding(config.prompt, config.llm_size),
        "state_head": StateHead(config.state_head, config.llm_size, encoder.output_size),
        "speech_decoder": SpeechDecoder(config.speech_decoder, config.llm_size),
        "codec": build_codec(config.codec),
    }
    if config.task_tokens:
        parts["task_tokens"] = nn.Embedding(config.task_tokens, config.llm_size)
    if config.llm_tuning is not None:
        parts[PART] = build_tuning(config.llm_tuning, llm)
    return parts


class FreezeOmni(nn.Module):
    """A frozen LLM that listens and speaks. Functions and weights only: who talks is a session.

    Attributes: encoder, ctc, adapter, prompt, state_head, speech_decoder, codec: the trained parts, under
            the prefixes of their checkpoints; fbank, llm and units are not in the state dict.
        trained_parts: their names.
        voice: (1, ...) the codec's global code of the voice that answers.
    """

    def __init__(
        self, config: SystemConfig, llm: FrozenLLM, units: CtcUnits, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """state: all tensors, which become the model's own without a copy; None draws fresh weights.

        Raises ValueError where LLM or units are of another size than the configuration says.
        """
        super().__init__()
        for name, found, expected in (
            ("llm_size", llm.hidden_size, config.llm_size),
            ("ctc_units", len(units) if config.ctc_units else 0, config.ctc_units),
        ):
            if found != expected:
                raise ValueError(f"{name} is {expected} in the configuration, {found} in fact")
        self.config, self.units, self.rates = config, units, config.rates
        self.fbank = Fbank(config.fbank)
        llm = llm.plain
        embeds = units.embeddings(llm) if config.adapter.needs_unit_embeds else None
        with nullcontext() if state is None else without_weights():
            parts = build_parts(config, embeds, llm)
        self.trained_parts = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)
        self.llm = tuned(llm, parts.get(PART))
        self.register_buffer("voice", empty_voice(config.codec))
        if state is not None:
            fill(self, state)
        self.eval()

    @property
    def transcribes(self) -> bool:
        """Whether there is a CTC head, so that words tell speech from silence."""
        return self.config.ctc_units > 0

    @property
    def system_prompt(self) -> str:
        """The system text that prompt and state head were trained with."""
        return self.config.system_prompt

    def spoken_ids(self, text: str) -> list[int]:
        """LLM ids by which the speech decoder speaks a text: cleaned, in its own text units."""
        spoken = TEXT_STYLES[self.config.text_style](text)
        return text_ids(spoken, self.llm.tokenizer, self.config.speech_decoder.text_units)

    @torch.no_grad()
    def transcribe(self, wav: Tensor, lengths: Tensor, chunk_size: int | None = None) -> list[str]:
        """Audio (B, S) at 16 kHz, lengths (B,) to what the CTC head reads, all at once.

        chunk_size: encoder frames of a chunk, 0 for infinite, None for the configured.
        """
        feats, frames = self.fbank(wav, lengths)
        out, frames = self.encoder(feats, frames, chunk_size)
        return [self.units.decode(ids) for ids in self.ctc.greedy(self.ctc(out), frames)]

    def fill(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Copy state dicts by part name, exactly. Raises ValueError for a part that does not fit."""
        for name, state in states.items():
            if name not in self.trained_parts:
                raise ValueError(f"the model has no part '{name}' to fill")
            try:
                getattr(self, name).load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(f"part '{name}' does not fit: {error}") from None

    @torch.no_grad()
    def set_voice(self, wav: Tensor) -> None:
        """Speak like the reference wav (S,) at 24 kHz from now on."""
        lengths = torch.tensor([wav.shape[-1]], device=wav.device)
        self.voice = self.codec.global_code(wav[None], lengths).to(self.voice.device)


def empty_voice(config: CodecConfig) -> Tensor:
    """A global code of the right shape, and no voice in particular: (1, dim), or (1, tokens) long."""
    code = config.global_code
    if code.tokens:
        return torch.zeros(1, code.tokens, dtype=torch.long)
    return torch.zeros(1, code.dim)
