"""Stage 1.2: encoder, adapter and task tokens are trained through the frozen LLM, which has to write the transcript."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.adapter.words import spell
from freeze_omni.data.said import SAID
from freeze_omni.encoder.search import Said
from freeze_omni.listening import ListeningOutput
from freeze_omni.llm.chat import tokenise
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.system import word_tokens
from freeze_omni.tasks.alignment import (
    WarmStartConfig,
    WarmTargets,
    aligned_tokens,
    aligned_units,
    aligned_words,
    alignment_loss,
    filler_loss,
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
from freeze_omni.tasks.llm_pass import Piece, TurnIds, answer_turn, text_losses, turn_of, with_end, write
from freeze_omni.tasks.parts_model import Result, pairs, training_result
from freeze_omni.tasks.preprocess import Reader, build_augment
from freeze_omni.tasks.resources import Resources, stage_llm


@dataclass(frozen=True, kw_only=True)
class AdapterModelConfig(ListeningModelConfig):
    """Keys under `model:` of stage 1.2; `encoder` and `fbank` come with the encoder of stage 1.1.

    task_tokens: learned vectors before the speech (the paper: "a few"). targets: what the LLM has to write: the
    transcript (the paper's way), or, in a dialogue, its own answer to the transcript (ours; kl_weight goes with it); or
    both: the answer where a row has one, and the transcript where it has none.
    ctc_weight: of the CTC loss next to the LLM's; 0 is the paper's way and leaves the CTC head alone. The CTC adapter
    needs it, or its spikes drift. warm_start: for the adapters `conv` and `pool`; none is the paper's way.
    learned_filler: what `conv` is to send between tokens is a vector that the LLM reads past, learned at the begin of
    the warm start, in place of the embedding of a space. still_encoder: the encoder stays as stage 1.1 left it (the
    paper trains it).
    """

    task_tokens: int = 4
    targets: Literal["transcript", "answers", "both"] = "transcript"
    ctc_weight: float = 0.0
    warm_start: WarmStartConfig | None = None
    learned_filler: bool = False
    still_encoder: bool = False

    def __post_init__(self) -> None:
        if self.warm_start is not None and self.adapter.conv is None and self.adapter.pool is None:
            raise ValueError("warm_start is for the adapters conv and pool; remove it")
        if self.warm_start is not None and self.warm_start.later and self.adapter.pool is None:
            raise ValueError("warm_start: later is for the adapter pool; remove it")
        if self.adapter.pool is not None and self.targets == "answers":
            raise ValueError("the adapter pool learns from transcripts: set targets: transcript, or both")
        if self.kl_weight and self.targets == "transcript":
            raise ValueError("kl_weight compares answers: set targets: answers, or both")
        if self.learned_filler and (self.adapter.conv is None or self.warm_start is None):
            raise ValueError("learned_filler is for the warm start of the adapter conv: give warm_start, or remove it")


class AdapterModel(ListeningModel):
    """Parts: encoder, ctc, adapter, task_tokens, perhaps filler; frozen: llm."""

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        config: AdapterModelConfig,
        trained: tuple[str, ...],
        llm: FrozenLLM,
        targets: WarmTargets | None = None,
    ):
        super().__init__(parts, config, trained, llm)
        self.space = -1 if targets is None else targets.space
        for name in ("table", "ids", "words"):
            self.register_buffer(
                f"target_{name}", None if targets is None else getattr(targets, name), persistent=False
            )

    @property
    def warm_targets(self) -> WarmTargets:
        return WarmTargets(self.target_table, self.target_ids, self.target_words, self.space)

    def forward(self, **batch: Tensor) -> Result:
        """speech (B, S) at 16 kHz, text (B, N) the transcript in LLM tokens, units (B, U) in CTC units, and lengths;
        for answers as targets also context, question and answer as in stage 1.3; with CTC units of kind word, for pool
        and a warm start, also words (B, W) numbers in the lexicon, of which the adapter is taught the tokens."""
        text, units = pairs(batch, "text", "units")
        taught = self.training and self.config.adapter.pool is not None
        out = self.listen_for(batch, lambda out: self._said(out, batch)) if taught else self.listen_to(batch)
        stats, warm_start = {}, self.config.warm_start
        if self.training and warm_start is not None and self.progress < warm_start.share:
            loss, stats = self._warm_loss(out, batch, self.progress < warm_start.share * warm_start.filler_share)
        elif self.config.targets == "both":
            loss, stats = self._answer_or_transcript(out, text, batch)
        elif self.config.targets == "answers":
            pieces = spoken_pieces(self.task_tokens, out)
            loss, stats, _ = answer_turn(self.llm, turn_of(batch), pieces, self.config.kl_weight)
        else:
            targets = with_end(*text, self.llm.chat.end_id)
            written = write(self.llm, spoken_pieces(self.task_tokens, out), *targets)
            loss, stats["acc"], _ = text_losses(self.llm, written)
        if taught and warm_start is not None and warm_start.later and "nearest" not in stats:
            near, stats["nearest"] = self._alignment_loss(out, batch)
            loss = loss + warm_start.later * near
        if self.config.ctc_weight:
            stats["loss_ctc"] = self._ctc_loss(out, *units, batch)
            loss = loss + self.config.ctc_weight * stats["loss_ctc"]
        stats["positions"] = out.adapted.lengths.float().mean()
        return training_result(loss, stats, rows=len(out.lengths))

    def _answer_or_transcript(
        self, out: ListeningOutput, text: Piece, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Rows with an answer: the LLM answers what it hears, without the task tokens, as stage 1.3 and sessions have
        none. Other rows: the transcript. Each row counts the same."""
        answered = batch["answer_lengths"] > 0
        positions, lengths = out.adapted.embeds, out.adapted.lengths
        nothing = torch.full((), float("nan"), device=lengths.device)  # which the reporter leaves out
        names = ("acc", "loss_answer", "acc_answer", *(["kl"] if self.config.kl_weight else []))
        stats = dict.fromkeys(names, nothing)  # the same in all processes, which average them
        loss = 0.0 * self.task_tokens.weight.sum()
        if answered.any():
            turn = TurnIds(*((ids[answered], sizes[answered]) for ids, sizes in turn_of(batch)))
            heard = [(positions[answered], lengths[answered])]
            own, found, _ = answer_turn(self.llm, turn, heard, self.config.kl_weight)
            stats |= {("acc_answer" if name == "acc" else name): value for name, value in found.items()}
            loss = loss + own * answered.float().mean()
        if not answered.all():
            rest = ~answered
            targets = with_end(text[0][rest], text[1][rest], self.llm.chat.end_id)
            tasks = self.task_tokens.weight.expand(int(rest.sum()), -1, -1)
            pieces = [(tasks, torch.full_like(lengths[rest], tasks.shape[1])), (positions[rest], lengths[rest])]
            own, stats["acc"], _ = text_losses(self.llm, write(self.llm, pieces, *targets))
            loss = loss + own * rest.float().mean()
        return loss, stats

    def _warm_loss(
        self, out: ListeningOutput, batch: Mapping[str, Tensor], filler: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the learned filler, if there is one and it is its time, else of the adapter."""
        if not (filler and self.config.learned_filler):
            loss, nearest = self._alignment_loss(out, batch)
            return loss, {"nearest": nearest}
        wanted = self._wanted(out, batch)
        loss = filler_loss(self.llm, self.filler.weight[0], wanted, out.adapted.lengths, self.warm_targets)
        return loss, {"kl_filler": loss}

    def _said(self, out: ListeningOutput, batch: Mapping[str, Tensor]) -> Said:
        """The words of the transcript where the CTC head's best path spells them, as a search would say them."""
        (units, sizes), (words, counts) = pairs(batch, "units", "words")
        ends = unit_ends(out.logits, out.lengths, units, sizes, self.ctc.blank)
        spaces = (units == self.space) & valid_mask(sizes, units.shape[1])
        numbers = [row[:count] for row, count in zip(words, counts, strict=True)]
        until = word_ends(ends, spaces, out.lengths)
        return aligned_words(until, numbers, out.lengths, self.adapter.config.chunk_frames)

    def _wanted(self, out: ListeningOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Which row of the targets' table each position (B, P) is to be."""
        adapted, targets = out.adapted, self.warm_targets
        conv: ConvAdapterConfig | None = self.config.adapter.conv
        if conv is not None and targets.words is None:
            units, sizes = pairs(batch, "units")[0]
            ends = unit_ends(out.logits, out.lengths, units, sizes, self.ctc.blank)
            return aligned_units(ends, units, adapted.lengths, conv.stride, adapted.embeds.shape[1])
        said = self._said(out, batch) if conv is not None else out.said
        assert targets.words is not None
        spelled = spell(targets.words, said, torch.zeros_like(out.lengths).bool(), said.ends.shape[1]).ids
        if conv is not None:
            places = adapted.lengths, conv.stride, adapted.embeds.shape[1]
            return aligned_tokens(spelled, said.until, targets.ids, *places)
        tokens = pad_rows([row[row >= 0] for row in spelled])[0]
        return torch.searchsorted(targets.ids, tokens) + 1

    def _alignment_loss(self, out: ListeningOutput, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Distance of the positions from the embeddings that they are to have, and the share of nearest ones."""
        table = self.target_table
        if self.config.learned_filler:
            table = torch.cat([self.filler.weight.detach().to(table.dtype), table[1:]])
        return alignment_loss(out.adapted, self._wanted(out, batch), table, self.config.warm_start)

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
        SAID: (SAID, "lazy_ints"),
    }
    optional = ("answer", "history", SAID)

    @classmethod
    def needed(cls, config: AdapterModelConfig) -> tuple[str, ...]:
        return (*super().needed(config), *(("answer",) if config.targets != "transcript" else ()))

    @classmethod
    def own_parts(cls, config: AdapterModelConfig, resources: Resources, encoder_size: int) -> dict[str, nn.Module]:
        own = {"task_tokens": nn.Embedding(config.task_tokens, resources.llm_size)}
        if config.learned_filler:
            own["filler"] = nn.Embedding(1, resources.llm_size)
            if resources.loads:
                own["filler"].weight.data.copy_(_space(resources.embedding))
        return own

    @classmethod
    def assemble(cls, config: AdapterModelConfig, parts: dict[str, Any], resources: Resources) -> AdapterModel:
        targets = warm_targets(resources) if cls.aligns(config) else None
        parts = parts | search_part(config, resources)
        return AdapterModel(parts, config, cls.trained(config, parts), stage_llm(parts, resources), targets)

    @classmethod
    def aligns(cls, config: AdapterModelConfig) -> bool:
        """Whether transcripts are aligned with the speech: the adapter pool learns from nothing else."""
        return config.warm_start is not None or config.adapter.pool is not None

    @classmethod
    def preprocess(cls, config: AdapterModelConfig, resources: Resources, train: bool) -> Preprocess:
        spell = partial(tokenise, tokenizer=resources.llm.tokenizer)
        texts = {"text": ("text", spell), "units": ("text", resources.units.encode)}
        if cls.aligns(config) and resources.units.kind == "word":
            texts |= {"words": ("text", resources.units.word_numbers)}
        texts |= cls.turn_readers(resources, question="text")
        return Reader(texts, ("speech",), build_augment(config.augment, train, cls.sample_hz))


def warm_targets(resources: Resources) -> WarmTargets:
    """The LLM's tokens of the lexicon's words, if the CTC units are letters, otherwise of the CTC units; the filler is
    a space, which the LLM reads as nothing said. Raises ConfigError: units without tokens in the LLM."""
    llm, units = resources.llm, resources.units
    spoken = word_tokens(units, llm)
    if spoken is not None:
        ids = spoken.ids.unique()
        ids = ids[ids >= 0]
        table = torch.cat([_space(llm), llm.embed(ids).detach()])
        return WarmTargets(table, ids, spoken.ids, units.space)
    table = units.embeddings(llm)
    table[0] = _space(llm)[0]
    return WarmTargets(table, units.llm_ids[1:].clamp_min(0))


def _space(llm: Any) -> Tensor:
    """(1, E)"""
    return llm.embed(torch.tensor(tokenise(" ", llm.tokenizer)[:1])).detach()
