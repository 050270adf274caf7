"""FreezeOmni: the paper's parts, composed from one configuration around one frozen LLM."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.adapter.words import WordTokens
from freeze_omni.codec.codec import build_codec
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.fifo import FifoConfig
from freeze_omni.duplex.reference import EchoReference
from freeze_omni.duplex.state_head import StateHead, StateHeadConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import build_ctc
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.encoder.search import SearchConfig
from freeze_omni.encoder.transcriber import TranscriberConfig, build_transcriber
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.listening import Listening
from freeze_omni.llm.chat import ChatTexts
from freeze_omni.llm.engine import LlmEngine
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.llm.tuned import PART, LlmTuningConfig, build_tuning, tuned
from freeze_omni.llm.units import INCOMPLETE, CtcUnits
from freeze_omni.quantised import FewBits, quantise
from freeze_omni.rates import Rates
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.normalise import TextStyle, spoken_ids, text_styler
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import SegmentConfig
from freeze_omni.weights import fill, without_weights


@dataclass(frozen=True)
class LlmConfig:
    """path: a folder, relative to the packed one, or a hub id. dtype: as `FrozenLLM.load` takes it. fingerprint: of the
    weights trained with, or ''. gguf: a GGUF file, relative to the packed folder, by which llm.llama_cpp computes in
    place of these weights; '' for none. gguf_fingerprint: of that file."""

    path: str = "llm"
    dtype: str = "float32"
    fingerprint: str = ""
    gguf: str = ""
    gguf_fingerprint: str = ""


@dataclass(frozen=True)
class SystemConfig:
    """Everything that a packed model's config.yaml says.

    frontend: a pretrained speech model that makes the features; None: fbank, the paper's. transcriber: its decoder,
    which says the words in place of a CTC head and its search; None: it does not.
    parts: the parts that the model has; None for all. ctc_units, llm_size: sizes by which the weights are checked
    before anything large is read; a model of 0 units has no CTC head and transcribes nothing. prompt: prompt vectors
    before the speech of every user turn (stage 1.3). task_tokens: vectors of stage 1.2, which only transcripts by the
    LLM use; 0 leaves them out. history: how a session keeps earlier user turns for the LLM: the speech positions as
    they were heard, or the text of the CTC head, as stage 1.3 was trained (docs/stages.md). text_style: what is done to
    a text before it is spoken. generation, segments, sampling: how answers are written, cut and spoken. chat: the
    template that the model was trained with; None takes the LLM's own. fifo: stream speech as the published server
    does, cut at quiet points; None is ours, exact. notice: licence notice of the weights. llm_tuning: what was learned
    with the LLM, for ablations; None is the paper's way. search: from letters to words, for CTC units of kind word.
    early: sessions begin an answer where the user has probably finished (state 1 likelier than this) and say it once
    that is decided; None: only then. Without an effect for an adapter that goes on sending in silence. no_answer_above:
    a probability of state 2 above it ends a turn without an answer (published server: 0.5); what was heard is gone.
    ahead: where the user has just fallen silent, a turn ends if state 1 is likelier than this as if the silence went
    on, sooner by the look-ahead of a pretrained frontend and what a word search waits for; None: it is waited for.
    few_bits: parts (encoder, speech_decoder) whose matrices a CPU keeps in float16 or int8; packed are float32's.
    """

    adapter: AdapterChoice | None = None
    ctc_units: int = 0
    llm_size: int = 0
    parts: tuple[str, ...] | None = None
    llm: LlmConfig = field(default_factory=LlmConfig)
    rates: Rates = field(default_factory=Rates)
    fbank: FbankConfig = field(default_factory=FbankConfig)
    frontend: PretrainedConfig | None = None
    transcriber: TranscriberConfig | None = None
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    prompt: int = 25
    task_tokens: int = 0
    history: Literal["speech", "text"] = "speech"
    state_head: StateHeadConfig = field(default_factory=StateHeadConfig)
    speech_decoder: SpeechDecoderConfig = field(default_factory=SpeechDecoderConfig)
    text_style: TextStyle = "plain"
    codec: CodecConfig = field(default_factory=CodecConfig)
    system_prompt: str = "You are a helpful assistant."
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    chat: ChatTexts | None = None
    fifo: FifoConfig | None = None
    notice: str = ""
    llm_tuning: LlmTuningConfig | None = None
    search: SearchConfig = field(default_factory=SearchConfig)
    early: float | None = 0.15
    no_answer_above: float = 0.5
    ahead: float | None = None
    few_bits: dict[str, FewBits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.no_answer_above <= 1:
            raise ValueError(f"no_answer_above: a probability, not {self.no_answer_above}")
        for name in ("early", "ahead"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name}: a probability from 0 to below 1, or null, not {value}")
        if whole := set(self.few_bits) - set(FEW_BITS):
            raise ValueError(f"few_bits: {min(whole)} is not one of {', '.join(FEW_BITS)}")
        unknown = set(self.parts or ()) - set(PARTS)
        if unknown:
            raise ValueError(f"parts: no part '{min(unknown)}'; there are {', '.join(PARTS)}")
        if self.has("adapter") and self.adapter is None:
            raise ValueError("adapter: choose one, `conv: {}`, `ctc: {}`, `words: {}` or `pool: {}`")
        if self.history == "text" and self.has("ctc") and not self.ctc_units:
            raise ValueError(
                "history: text needs the words of a CTC head, and this model has none: set history: speech"
            )
        if self.has("transcriber") and self.frontend is None:
            raise ValueError("transcriber: it is the decoder of a frontend, and this model has none")
        if self.has("transcriber") and self.has("adapter") and self.adapter.words is None:
            raise ValueError("transcriber: it says words, and so is for models with the adapter `words`")
        if self.has("speech_decoder"):
            text_styler(self.text_style)  # raises ImportError if what it needs is missing
        rates, codec, encoder = self.rates, self.codec, self.encoder
        listens, speaks, both = ("encoder",), ("codec",), ("codec", "speech_decoder")
        codes, codebook = self.speech_decoder.codes, codec.quantiser.codebook_size
        same: list[tuple[tuple[str, ...], str, int, int]] = [
            (listens, "rates.input_hz, fbank.sample_hz", rates.input_hz, self.fbank.sample_hz),
            (listens, "rates.encoder_downsample, encoder.downsample", rates.encoder_downsample, encoder.downsample),
            (listens, "rates.chunk_frames, encoder.chunk_frames", rates.chunk_frames, encoder.chunk_frames),
            (speaks, "rates.output_hz, codec.sample_rate_hz", rates.output_hz, codec.sample_rate_hz),
            (speaks, "rates.token_samples, codec.hop_samples", rates.token_samples, codec.hop_samples),
            (both, "speech_decoder.codes, codec.quantiser.codebook_size", codes, codebook),
        ]
        if self.frontend is None:
            same.append((listens, "rates.mel_bins, encoder.input_size", rates.mel_bins, encoder.input_size))
        for parts, names, one, other in same:
            if one != other and all(map(self.has, parts)):
                raise ValueError(f"{names} must be equal, not {one} and {other}")

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The parts that the model has, in the order of PARTS."""
        absent = {"frontend": self.frontend is None, "task_tokens": not self.task_tokens}
        absent["transcriber"] = self.transcriber is None
        absent[PART] = self.llm_tuning is None
        return tuple(name for name in PARTS if (name in self.parts if self.parts else not absent.get(name)))

    def has(self, part: str) -> bool:
        return part in self.own_parts

    @property
    def needs_llm(self) -> bool:
        """Whether any of the parts works with the LLM; frontend, encoder, CTC head and codec do not."""
        return bool(set(self.own_parts) - set(WITHOUT_LLM))


WITHOUT_LLM = ("frontend", "encoder", "ctc", "codec")
PARTS = (
    "frontend", "transcriber", "encoder", "ctc", "adapter", "prompt", "state_head", "speech_decoder", "codec",
    "task_tokens", PART,
)  # fmt: skip
"""All parts, by the prefixes of their checkpoints."""
FEW_BITS = {"encoder": ("place",), "speech_decoder": ()}
"""Parts whose matrices may be kept in few bits, and names of those whose weights are also read by others."""


def build_parts(
    config: SystemConfig,
    unit_embeds: Tensor | None = None,
    llm: FrozenLLM | None = None,
    words: WordTokens | None = None,
) -> dict[str, nn.Module]:
    """Parts with fresh weights by prefix; unit_embeds (ctc_units, llm_size), llm, words: if adapter, llm_tuning need
    them."""
    frame_size = config.encoder.size
    makers: dict[str, Callable[[], nn.Module]] = {
        "frontend": lambda: build_frontend(config.frontend),
        "transcriber": lambda: build_transcriber(config.transcriber, config.frontend),
        "encoder": lambda: SpeechEncoder(config.encoder),
        "ctc": lambda: build_ctc(frame_size, config.ctc_units),
        "adapter": lambda: build_adapter(config.adapter, frame_size, config.llm_size, unit_embeds, words),
        "prompt": lambda: nn.Embedding(config.prompt, config.llm_size),
        "state_head": lambda: StateHead(config.state_head, config.llm_size, frame_size),
        "speech_decoder": lambda: SpeechDecoder(config.speech_decoder, config.llm_size),
        "codec": lambda: build_codec(config.codec),
        "task_tokens": lambda: nn.Embedding(config.task_tokens, config.llm_size),
        PART: lambda: build_tuning(config.llm_tuning, llm),
    }
    return {name: makers[name]() for name in config.own_parts}


class FreezeOmni(nn.Module):
    """A frozen LLM that listens and speaks, or those of its parts that the configuration names.

    Functions and weights only: who talks to it is a session. The parts (encoder, ctc, adapter, ...) are attributes
    under the prefixes of their checkpoints, `trained_parts` their names; access to one that the model does not have
    raises AttributeError. llm and units are not in the state dict. voice (1, ...): the codec's global code of
    the voice that answers; with a codec.
    """

    llm: Any  # LlmEngine, if any: FrozenLLM in training
    units: Any  # CtcUnits, if any
    voice: Tensor

    def __init__(
        self,
        config: SystemConfig,
        llm: FrozenLLM | LlamaCppLLM | None = None,
        units: CtcUnits | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        """llm, units: needed by the parts that work with them. state: all tensors, which become the model's own
        without a copy; None draws fresh weights. Raises ValueError if LLM or units are missing or of another size."""
        super().__init__()
        _check_sizes(config, llm, units)
        self.config, self.units, self.rates = config, units, config.rates
        self.transcribes = config.ctc_units > 0  # has a CTC head, so that words tell speech from silence
        self.system_prompt = config.system_prompt  # that prompt and state head were trained with
        llm = None if llm is None else llm.plain
        reads_units = config.has("adapter") and config.adapter.needs_unit_embeds
        embeds = units.embeddings(llm) if reads_units else None
        searches = units is not None and config.has("ctc") and not config.has("transcriber")
        self.search = units.search(config.search) if searches else None
        words = None
        if config.has("adapter"):
            words = own_tokens(llm) if config.has("transcriber") else word_tokens(units, llm)
        with nullcontext() if state is None else without_weights():
            parts = build_parts(config, embeds, llm if isinstance(llm, FrozenLLM) else None, words)
        self.trained_parts = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)
        if config.frontend is None:
            self.frontend = Fbank(config.fbank)
        elif config.has("encoder"):
            _check_frontend(config, self.frontend)
        self.reference: EchoReference | None = None
        if config.has("state_head") and config.state_head.reference:
            chunk = self.rates.chunk_samples
            self.reference = EchoReference(chunk, self.frontend.delay_samples // chunk, self.rates.input_hz)
        self.llm = None if llm is None else tuned(llm, parts.get(PART))
        if config.has("codec"):
            self.register_buffer("voice", empty_voice(config.codec))
        if state is not None:
            fill(self, state)
        self.eval()

    def has(self, part: str) -> bool:
        return part in self.trained_parts

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in PARTS:
                has = ", ".join(self.__dict__.get("trained_parts", ()))
                raise AttributeError(f"this model has no part '{name}', only {has}: read that part, too") from None
            raise

    @property
    def early(self) -> float | None:
        """The probability of state 1 above which answers are begun before the decision; None: never."""
        return self.config.early if self.config.adapter.silent else None

    @property
    def listening(self) -> Listening:
        """The chain from samples to positions of the LLM."""
        adapter = self.adapter if self.has("adapter") else None
        return self._listening(adapter, self.reference)

    def _listening(self, adapter: Any, reference: EchoReference | None) -> Listening:
        transcriber = self.transcriber if self.has("transcriber") else None
        frontend, chunk = self.frontend, self.rates.chunk_samples
        return Listening(frontend, self.encoder, self.ctc, adapter, self.search, chunk, reference, transcriber)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def keep_in_few_bits(self, chosen: Mapping[str, FewBits]) -> None:
        """Parts -> float16 or int8, of those in `FEW_BITS`; on a CPU. The state dict lacks these matrices from then on.
        Raises ValueError as `quantise`."""
        for part, bits in chosen.items():
            if self.has(part):
                quantise(getattr(self, part), bits, FEW_BITS[part])

    def spoken_ids(self, text: str) -> list[int]:
        """LLM ids by which the speech decoder speaks a text: cleaned, in its own text units."""
        return spoken_ids(text, self.llm.tokenizer, self.config.speech_decoder.text_units, self.config.text_style)

    @torch.no_grad()
    def transcribe(self, wav: Tensor, lengths: Tensor, chunk_size: int | None = None) -> list[str]:
        """Audio (B, S) at 16 kHz, lengths (B,) to what is read of it, all at once, in chunks as `Listening`."""
        listening = self._listening(None, None)
        heard = listening(*listening.with_end(wav, lengths), chunk_size)
        return [self.written(ids) for ids in listening.units(heard)]

    def written(self, units: Sequence[int]) -> str:
        """What `Listening.units` says, as text that only grows."""
        if not self.has("transcriber"):
            return self.units.decode(units)
        text = self.llm.tokenizer.decode(units, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.rstrip(INCOMPLETE).strip()

    @torch.no_grad()
    def turn_marks(self, last: Tensor) -> list[str]:
        """The marks that end spoken turns, by the LLM's hidden state (N, E) at the last position of each: the likelier
        of full stop and question mark if the adapter sends words alone, which the LLM would not read as a text's end.
        """
        if self.adapter.punctuates or self.has("transcriber"):
            return [""] * len(last)
        marks = self.llm.order.marks
        scores = self.llm.logits(last, [ids[0] for ids in marks.values()])
        return [list(marks)[best] for best in scores.argmax(-1).tolist()]

    def turn_end(self, mark: str) -> list[int]:
        """LLM ids that close a spoken turn."""
        return [*(self.llm.chat.mark(mark) if mark else ()), *self.llm.order.suffix()]

    @torch.no_grad()
    def set_voice(self, wav: Tensor) -> None:
        """Speak like the reference wav (S,) at 24 kHz from now on."""
        lengths = torch.tensor([wav.shape[-1]], device=wav.device)
        self.voice = self.codec.global_code(wav[None], lengths).to(self.voice.device)


def word_tokens(units: CtcUnits | None, llm: LlmEngine | None) -> WordTokens | None:
    """For the adapters `words` and `pool`; None without units of kind word."""
    if units is None or llm is None or units.kind != "word":
        return None
    return WordTokens(units.word_ids(llm.tokenizer), llm.embed)


def own_tokens(llm: LlmEngine) -> WordTokens:
    """For words that are said in the LLM's tokens."""
    return WordTokens(torch.arange(llm.vocab_size).expand(2, -1)[..., None], llm.embed)


def _check_frontend(config: SystemConfig, frontend: PretrainedFrontend) -> None:
    for name, found, expected in (
        ("encoder.input_size", config.encoder.input_size, frontend.output_size),
        ("samples of a chunk by `rates`", config.rates.chunk_samples, frontend.chunk_samples),
    ):
        if found != expected:
            raise ValueError(f"{name} is {found}, and that of the frontend {expected}")


def _check_sizes(config: SystemConfig, llm: LlmEngine | None, units: CtcUnits | None) -> None:
    if config.needs_llm and llm is None:
        raise ValueError(f"the parts {', '.join(config.own_parts)} work with the LLM: give it")
    has_units = config.has("ctc") and config.ctc_units
    if has_units and units is None:
        raise ValueError("the CTC head works with its units: give their folder")
    sizes = {"llm_size": (llm and llm.hidden_size, config.llm_size)} if config.needs_llm else {}
    if has_units:
        sizes["ctc_units"] = (len(units), config.ctc_units)
    for name, (found, expected) in sizes.items():
        if found != expected:
            raise ValueError(f"{name} is {expected} in the configuration, {found} in fact")


def empty_voice(config: CodecConfig) -> Tensor:
    """A global code of the right shape, and no voice in particular: (1, dim), or (1, tokens) long."""
    code = config.global_code
    return torch.zeros(1, code.tokens, dtype=torch.long) if code.tokens else torch.zeros(1, code.dim)
