"""What stages 1.2 and 1.3 share: speech through encoder and adapter into the frozen LLM, which writes a text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.adapter.words import no_words
from freeze_omni.data.augment import AugmentConfig
from freeze_omni.data.said import SAID
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import build_ctc
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.encoder.search import Said, SearchConfig
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.listening import Listening, ListeningOutput
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import LlmTuningConfig
from freeze_omni.shapes import valid_mask
from freeze_omni.system import own_tokens, word_tokens
from freeze_omni.tasks.base import BaseTask
from freeze_omni.tasks.llm_pass import Piece
from freeze_omni.tasks.parts_model import PartsModel, pairs, sound_of
from freeze_omni.tasks.preprocess import SpecAugmentConfig, TextReaders, before_turn, build_spec_augment
from freeze_omni.tasks.resources import Resources, tuning_part


@dataclass(frozen=True, kw_only=True)
class ListeningModelConfig:
    """Keys under `model:` of both stages; parts that are taken over bring their keys.

    kl_weight: of the divergence between the LLM that hears and the LLM that reads the question, token by token (ours).
    llm_tuning: what else is learned with the LLM (ours). augment, spec_augment: as in stage 1.1. search: from letters
    to words, for CTC units of kind word (ours).
    """

    encoder: EncoderConfig
    adapter: AdapterChoice
    fbank: FbankConfig = field(default_factory=FbankConfig)
    frontend: PretrainedConfig | None = None
    kl_weight: float = 0.0
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    llm_tuning: LlmTuningConfig | None = None
    search: SearchConfig = field(default_factory=SearchConfig)


class ListeningModel(PartsModel):
    """Parts: encoder, ctc, adapter and the stage's own; the LLM stays frozen."""

    def __init__(
        self, parts: Mapping[str, nn.Module], config: ListeningModelConfig, trained: tuple[str, ...], llm: FrozenLLM
    ):
        super().__init__({**parts, "llm": llm}, trained)
        self.config: Any = config
        if config.frontend is None:
            self.frontend = Fbank(config.fbank)
        self.spec_augment = build_spec_augment(config.spec_augment)

    @property
    def delay_chunks(self) -> int:
        """How many chunks after its sound a chunk is heard."""
        frontend = self.config.frontend
        return 0 if frontend is None else frontend.lookahead_chunks

    def listen(self, speech: Tensor, lengths: Tensor) -> ListeningOutput:
        """Samples (B, S) at 16 kHz, or features (B, F, D), and lengths (B,)."""
        augment = self.spec_augment if self.training else None
        listening = Listening(self.frontend, self.encoder, self.ctc, self.adapter, getattr(self, "search", None))
        return listening(*listening.with_end(speech, lengths), augment=augment)

    def listen_to(self, batch: Mapping[str, Tensor]) -> ListeningOutput:
        """The sound of a batch, or its features; with a transcriber's words, these are its entry `said`."""
        if not self.config.adapter.transcribed:
            return self.listen(*sound_of(batch))
        return self.listen_for(batch, lambda out: said_in(batch, out.frames.shape[1], self.adapter.config.chunk_frames))

    def listen_for(self, batch: Mapping[str, Tensor], find: Callable[[ListeningOutput], Said]) -> ListeningOutput:
        """As `listen`, with the words that are found in what the encoder makes."""
        listening = Listening(self.frontend, self.encoder, self.ctc)
        augment = self.spec_augment if self.training else None
        out = listening(*listening.with_end(*sound_of(batch)), augment=augment)
        said = find(out)
        return out._replace(adapted=self.adapter(out.frames, out.lengths, said=said), said=said)


def said_in(batch: Mapping[str, Tensor], frames: int, chunk_frames: int) -> Said:
    """What a transcriber said: said (B, 3 N), of each token its id, the chunk that says it and the frame after it."""
    said, sizes = pairs(batch, SAID)[0]
    ids, chunk, until = said.reshape(len(said), said.shape[1] // 3, 3).unbind(2)
    lengths = sizes // 3
    real = valid_mask(lengths, ids.shape[1])
    number = torch.arange(-(-frames // chunk_frames), device=said.device)
    ends = ((chunk[:, None] <= number[:, None]) & real[:, None]).sum(2)
    ends[:, -1:] = lengths[:, None]  # what is said after the sound belongs to its last chunk
    return Said(ids.masked_fill(~real, 0), lengths, ends, until)


def search_part(config: ListeningModelConfig, resources: Resources) -> dict[str, nn.Module]:
    """The word search, which is neither trained nor saved, for adapters that need it and CTC units of kind word."""
    searched = config.adapter.needs_words and not config.adapter.transcribed
    if not resources.loads or resources.units_path is None or not searched:
        return {}
    search = resources.units.search(config.search)
    return {} if search is None else {"search": search}


def spoken_pieces(vectors: nn.Embedding, out: ListeningOutput) -> list[Piece]:
    """What the LLM reads of a spoken turn: learned vectors, then the adapter's positions."""
    learned = vectors.weight.expand(len(out.lengths), -1, -1)
    return [(learned, torch.full_like(out.lengths, learned.shape[1])), (out.adapted.embeds, out.adapted.lengths)]


class ListeningTask(BaseTask):
    """The base of both stages: `own_parts` are what a stage adds to encoder, CTC head and adapter."""

    @classmethod
    def own_parts(cls, config: Any, resources: Resources, encoder_size: int) -> dict[str, nn.Module]:
        raise NotImplementedError

    @classmethod
    def needed(cls, config: Any) -> tuple[str, ...]:
        return (SAID,) if config.adapter.transcribed else ()

    @classmethod
    def build_parts(cls, config: Any, resources: Resources) -> dict[str, nn.Module]:
        encoder, embeds = SpeechEncoder(config.encoder), None
        frontend = {} if config.frontend is None else {"frontend": build_frontend(config.frontend)}
        if config.adapter.needs_unit_embeds:
            sizes = (resources.unit_size, resources.llm_size)
            embeds = resources.units.embeddings(resources.llm) if resources.loads else torch.empty(sizes)
        words = no_words()
        if config.adapter.needs_words and resources.loads:
            llm = resources.llm
            words = own_tokens(llm) if config.adapter.transcribed else word_tokens(resources.units, llm)
        parts: dict[str, nn.Module] = {
            "encoder": encoder,
            "ctc": build_ctc(encoder.output_size, resources.unit_size),
            "adapter": build_adapter(config.adapter, encoder.output_size, resources.llm_size, embeds, words),
        }
        return frontend | parts | cls.own_parts(config, resources, encoder.output_size) | tuning_part(config, resources)

    @classmethod
    def turn_readers(cls, resources: Resources, question: str) -> TextReaders:
        """What makes the entries of a `TurnIds`; question: the entry that holds what is said."""
        order = resources.llm.order
        return {
            "context": ("history", partial(before_turn, order=order, system=resources.system)),
            "question": (question, order.text),
            "answer": ("answer", order.answer),
        }
