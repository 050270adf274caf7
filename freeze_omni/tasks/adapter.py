"""Stage 1.2: encoder, adapter and task tokens are trained through the frozen LLM, which has to write the transcript."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.conv import STRIDE
from freeze_omni.adapter.words import spell
from freeze_omni.listening import Listening, ListeningOutput
from freeze_omni.llm.chat import tokenise
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.tasks.alignment import (
    WarmStartConfig,
    aligned_units,
    aligned_words,
    alignment_loss,
    unit_ends,
    word_ends,
)
from freeze_omni.tasks.base import Preprocess
from freeze_omni.tasks.listening_model import (
    ListeningModel,
    ListeningModelConfig,
    ListeningTask,
    search_part,
    spoken_pieces,
)
from freeze_omni.tasks.llm_pass import answer_turn, text_losses, turn_of, with_end, write
from freeze_omni.tasks.parts_model import Result, pairs, sound_of, training_result
from freeze_omni.tasks.preprocess import Reader, build_augment
from freeze_omni.tasks.resources import Resources, stage_llm


@dataclass(frozen=True, kw_only=True)
class AdapterModelConfig(ListeningModelConfig):
    """Keys under `model:` of stage 1.2; `encoder` and `fbank` come with the encoder of stage 1.1.

    task_tokens: learned vectors before the speech (the paper: "a few"). targets: what the LLM has to write: the
    transcript (the paper's way), or, in a dialogue, its own answer to the transcript (ours; kl_weight goes with it).
    ctc_weight: of the CTC loss next to the LLM's; 0 is the paper's way and leaves the CTC head alone. The CTC adapter
    needs it, or its spikes drift. warm_start: for the adapters `conv` and `pool`; none is the paper's way.
    still_encoder: the encoder stays as stage 1.1 left it (the paper trains it).
    """

    task_tokens: int = 4
    targets: Literal["transcript", "answers"] = "transcript"
    ctc_weight: float = 0.0
    warm_start: WarmStartConfig | None = None
    still_encoder: bool = False

    def __post_init__(self) -> None:
        if self.warm_start is not None and self.adapter.conv is None and self.adapter.pool is None:
            raise ValueError("warm_start is for the adapters conv and pool; remove it")
        if self.warm_start is not None and self.warm_start.later and self.adapter.pool is None:
            raise ValueError("warm_start: later is for the adapter pool; remove it")
        if self.adapter.pool is not None and self.targets == "answers":
            raise ValueError("the adapter pool learns from transcripts: set targets: transcript")
        if self.kl_weight and self.targets != "answers":
            raise ValueError("kl_weight compares answers: set targets: answers")


class AdapterModel(ListeningModel):
    """Parts: encoder, ctc, adapter, task_tokens; frozen: llm.

    unit_table (V, E): embeddings for the warm start, of the CTC units, or zeros and those of token_ids (V - 1,).
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        config: AdapterModelConfig,
        trained: tuple[str, ...],
        llm: FrozenLLM,
        unit_table: Tensor | None = None,
        token_ids: Tensor | None = None,
    ):
        super().__init__(parts, config, trained, llm)
        self.register_buffer("unit_table", unit_table, persistent=False)
        self.register_buffer("token_ids", token_ids, persistent=False)

    def forward(self, **batch: Tensor) -> Result:
        """speech (B, S) at 16 kHz, text (B, N) the transcript in LLM tokens, units (B, U) in CTC units, and lengths;
        for answers as targets also context, question and answer as in stage 1.3; for the adapter pool also words (B, W)
        numbers in the lexicon, which it is taught by, where validation hears what the word search finds."""
        text, units = pairs(batch, "text", "units")
        taught = self.training and self.config.adapter.pool is not None
        out = self._listen_to_words(batch) if taught else self.listen(*sound_of(batch))
        stats, warm_start = {}, self.config.warm_start
        if self.training and warm_start is not None and self.progress < warm_start.share:
            loss, stats["nearest"] = self._alignment_loss(out, *units)
        elif self.config.targets == "answers":
            pieces = spoken_pieces(self.task_tokens, out)
            loss, stats, _ = answer_turn(self.llm, turn_of(batch), pieces, self.config.kl_weight)
        else:
            targets = with_end(*text, self.llm.chat.end_id)
            written = write(self.llm, spoken_pieces(self.task_tokens, out), *targets)
            loss, stats["acc"], _ = text_losses(self.llm, written)
            if taught and warm_start is not None and warm_start.later:
                near, stats["nearest"] = self._alignment_loss(out, *units)
                loss = loss + warm_start.later * near
        if self.config.ctc_weight:
            stats["loss_ctc"] = self._ctc_loss(out, *units, batch)
            loss = loss + self.config.ctc_weight * stats["loss_ctc"]
        stats["positions"] = out.adapted.lengths.float().mean()
        return training_result(loss, stats, rows=len(out.lengths))

    def _listen_to_words(self, batch: Mapping[str, Tensor]) -> ListeningOutput:
        """As `listen`, with the words of the transcript where the CTC head's best path spells them."""
        (units, sizes), (words, counts) = pairs(batch, "units", "words")
        listening = Listening(self.frontend, self.encoder, self.ctc)
        augment = self.spec_augment if self.training else None
        out = listening(*listening.with_end(*sound_of(batch)), augment=augment)
        ends = unit_ends(out.logits, out.lengths, units, sizes, self.ctc.blank)
        spaces = (units == self.search.space) & valid_mask(sizes, units.shape[1])
        numbers = [row[:count] for row, count in zip(words, counts, strict=True)]
        until = word_ends(ends, spaces, out.lengths)
        said = aligned_words(until, numbers, out.lengths, self.adapter.config.chunk_frames)
        return out._replace(adapted=self.adapter(out.frames, out.lengths, said=said), said=said)

    def _alignment_loss(self, out: ListeningOutput, units: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of the positions from the embeddings that they are to have, and the share of nearest ones."""
        adapted = out.adapted
        if self.config.adapter.pool is not None:
            spelled = spell(self.adapter.ids, out.said, torch.zeros_like(out.lengths).bool(), out.said.ends.shape[1])
            tokens = pad_rows([row[row >= 0] for row in spelled.ids])[0]
            wanted = torch.searchsorted(self.token_ids, tokens) + 1
        else:
            ends = unit_ends(out.logits, out.lengths, units, sizes, self.ctc.blank)
            wanted = aligned_units(ends, units, adapted.lengths, STRIDE, adapted.embeds.shape[1])
        return alignment_loss(adapted, wanted, self.unit_table, self.config.warm_start)

    def _ctc_loss(self, out: ListeningOutput, units: Tensor, sizes: Tensor, turn: Mapping[str, Tensor]) -> Tensor:
        """With answers as targets of answered rows alone: scenes that are cut off have the whole sentence as text."""
        parts = out.logits, out.lengths, units, sizes
        if self.config.targets == "answers":
            rows = turn["answer_lengths"] > 0
            if not rows.any():
                return out.logits.sum() * 0.0
            parts = (part[rows] for part in parts)
        return self.ctc.loss(*parts)


class AdapterTask(ListeningTask):
    """Reads wav.scp (16 kHz), text, and with answers as targets answer and optionally history, as stage 1.3; trains
    encoder, adapter, task tokens, and the CTC head if it has a weight."""

    config_class = AdapterModelConfig
    files = {
        "speech": ("wav.scp", "sound"),
        "text": ("text", "text"),
        "answer": ("answer", "sparse_text"),
        "history": ("history", "sparse_text"),
    }
    optional = ("answer", "history")

    @classmethod
    def needed(cls, config: AdapterModelConfig) -> tuple[str, ...]:
        return ("answer",) if config.targets == "answers" else ()

    @classmethod
    def own_parts(cls, config: AdapterModelConfig, resources: Resources, encoder_size: int) -> dict[str, nn.Module]:
        return {"task_tokens": nn.Embedding(config.task_tokens, resources.llm_size)}

    @classmethod
    def assemble(cls, config: AdapterModelConfig, parts: dict[str, Any], resources: Resources) -> AdapterModel:
        table = tokens = None
        if config.warm_start is not None and config.adapter.pool is not None:
            tokens = parts["adapter"].ids.unique()
            tokens = tokens[tokens >= 0]
            table = nn.functional.pad(resources.llm.embed(tokens).detach(), (0, 0, 1, 0))
        elif config.warm_start is not None:
            table = resources.units.embeddings(resources.llm)
            space = tokenise(" ", resources.llm.tokenizer)[:1]  # the filler: the LLM reads it as nothing said
            table[parts["ctc"].blank] = resources.llm.embed(torch.tensor(space))[0].detach()
        parts = parts | search_part(config, resources)
        return AdapterModel(parts, config, cls.trained(config, parts), stage_llm(parts, resources), table, tokens)

    @classmethod
    def preprocess(cls, config: AdapterModelConfig, resources: Resources, train: bool) -> Preprocess:
        spell = partial(tokenise, tokenizer=resources.llm.tokenizer)
        texts = {"text": ("text", spell), "units": ("text", resources.units.encode)}
        if config.adapter.pool is not None:
            texts |= {"words": ("text", resources.units.word_numbers)}
        texts |= cls.turn_readers(resources, question="text")
        return Reader(texts, ("speech",), build_augment(config.augment, train, cls.sample_hz))
