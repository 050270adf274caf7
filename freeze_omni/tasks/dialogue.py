"""Stage 1.3: prompt and state head are trained; encoder, adapter and LLM stay frozen (paper section 3.1)."""

import argparse
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.config import ConfigError
from freeze_omni.data.said import SAID
from freeze_omni.data.tables import read_table
from freeze_omni.duplex.reference import SIZE as REFERENCE_SIZE
from freeze_omni.duplex.state_head import ANSWER as ANSWER_STATE
from freeze_omni.duplex.state_head import NO_LABEL, WAIT, StateHead, StateHeadConfig, chunk_hidden
from freeze_omni.listening import ListeningOutput
from freeze_omni.llm.chat import tokenise
from freeze_omni.llm.order import ReadingOrder, parse_rounds
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.tasks.base import Preprocess
from freeze_omni.tasks.listening_model import (
    ListeningModel,
    ListeningModelConfig,
    ListeningTask,
    search_part,
    spoken_pieces,
)
from freeze_omni.tasks.llm_pass import Piece, Written, answer_turn, turn_of
from freeze_omni.tasks.parts_model import Result, pairs, training_result
from freeze_omni.tasks.preprocess import Augment, Reader, build_augment, load_sound
from freeze_omni.tasks.resources import Resources, stage_llm

ANSWER = "Answer the user."  # for want of a system text


@dataclass(frozen=True, kw_only=True)
class DialogueModelConfig(ListeningModelConfig):
    """Keys under `model:` of stage 1.3; encoder, fbank and adapter come with the parts of stage 1.2.

    prompt: number of prompt vectors, the same in all turns (published: 25). state_weight: of the state loss; that of
    the answer has 1. state_prompt: the prompt learns from the states, too, as in the paper; otherwise from answers
    alone, and turns without one cost no backward pass. augment: without a change of speed. history: how the LLM, also
    the packed model's, reads earlier rounds: as text (the default with a CTC head) or as the speech, which makes rows
    longer than the sampler counts.
    """

    prompt: int = 25
    history: Literal["text", "speech"] | None = None
    state_head: StateHeadConfig = field(default_factory=StateHeadConfig)
    state_weight: float = 1.0
    state_prompt: bool = True

    def __post_init__(self) -> None:
        if self.augment is not None and self.augment.speed != (1.0, 1.0):
            raise ValueError("augment: speed would move the states' times: leave it at [1, 1]")


class DialogueModel(ListeningModel):
    """A spoken question to its answer and to the state of every chunk. Parts: prompt, state_head; others frozen."""

    def forward(self, **batch: Tensor) -> Result:
        """One user turn for each row, with `history: speech` also the entries of `EarlierRounds`.

        speech (B, S) at 16 kHz; states (B, C), one for each 160 ms chunk, -1 for no label; context (B, K) LLM ids up to
        where the user's turn opens; answer (B, N) LLM ids, none for a turn that is not to be answered; question (B, Q)
        LLM ids of what is said, for the teacher; reference (B, C, SIZE), of a head that reads it; and their lengths.
        """
        states = pairs(batch, "states")[0]
        with torch.no_grad():
            out = self.listen_to(batch)
        context = self._spoken_context(batch) if self.config.history == "speech" else None
        pieces = spoken_pieces(self.prompt, out)
        weight, only_answers = self.config.kl_weight, not self.config.state_prompt
        loss, answer_stats, written = answer_turn(self.llm, turn_of(batch), pieces, weight, context, only_answers)
        loss_state, stats = self._state_loss(written, out, *states, batch.get("reference"))
        stats |= answer_stats | {"loss_state": loss_state}
        return training_result(loss + self.config.state_weight * loss_state, stats, rows=len(out.lengths))

    def _spoken_context(self, batch: Mapping[str, Tensor]) -> Piece:
        """Embeddings up to where the user's turn opens, earlier rounds as their speech."""
        sounds = [sound for row in _split(batch, "earlier") for sound in row]
        speech: Iterator[Tensor] = iter(())
        if sounds:
            with torch.no_grad():
                out = self.listen(*pad_rows(sounds)).adapted
            speech = (embeds[:length] for embeds, length in zip(out.embeds, out.lengths, strict=True))
        rows = []
        for first, *later in ([self.llm.embed(ids) for ids in row] for row in _split(batch, "opening")):
            rounds = [self.llm.order.spoken_turn(self.prompt.weight, next(speech), text) for text in later]
            rows.append(torch.cat([first, *rounds]))
        return pad_rows(rows)

    def _state_loss(
        self,
        written: Written,
        out: ListeningOutput,
        states: Tensor,
        states_lengths: Tensor,
        reference: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read at the last sent position of the chunk that hears a label's sound; before any, at the prompt's.

        A turn is not labelled as over in chunks that lack its last words, where positions follow words: the LLM has
        read half a sentence there, as in a pause.
        """
        late = self.delay_chunks
        ends, summary = out.adapted.ends[:, late:], out.adapted.summary[:, late:]
        chunks = min(states.shape[1], ends.shape[1])
        if self.config.state_head.reference:
            rows = summary.new_zeros(len(summary), chunks, REFERENCE_SIZE)
            if reference is not None:
                there = min(chunks, reference.shape[1])
                rows[:, :there] = reference[:, :there]
            summary = torch.cat([summary[:, :chunks], rows], dim=-1)
        hidden = written.hidden if self.config.state_prompt else written.hidden.detach()
        at_ends = chunk_hidden(hidden, written.starts[:, 2], ends[:, :chunks])
        logits = self.state_head(at_ends, summary[:, :chunks])
        real = valid_mask(states_lengths, states.shape[1])
        labels = states.masked_fill(~real, NO_LABEL)[:, :chunks]
        if self.config.adapter.positions_per_chunk is None:
            unheard = ends[:, :chunks] < out.adapted.lengths[:, None]
            labels = labels.masked_fill(unheard & ((labels == ANSWER_STATE) | (labels == WAIT)), NO_LABEL)
        labels, guesses = self.state_head.labels(labels), logits.argmax(-1)
        # a mean over nothing is not a number, which the reporter leaves out
        recalls = {
            f"recall_{state}": (guesses == state)[labels == state].float().mean() for state in range(logits.shape[-1])
        }
        return self.state_head.loss(logits, labels), recalls


def _split(batch: Mapping[str, Tensor], name: str) -> list[list[Tensor]]:
    """The pieces of each row of an entry, by the entry of their sizes."""
    counts = batch[f"{name}_sizes_lengths"].tolist()
    sizes = [row[:count].tolist() for row, count in zip(batch[f"{name}_sizes"], counts, strict=True)]
    return [list(row[: sum(some)].split(some)) if some else [] for row, some in zip(batch[name], sizes, strict=True)]


class EarlierRounds:
    """After another preprocess: adds earlier rounds as a session keeps them, sound and the text after it.

    Entries: opening, LLM ids up to the first round's speech, then of what follows each round up to the next user's
    speech; earlier, the rounds' samples; opening_sizes, earlier_sizes: of the pieces of both. Round n of a dialogue has
    the id `<id of the first>-round<n>`. A row that lacks the sound of a round has its context in text.
    """

    def __init__(self, before: Preprocess, wav_scp: str, order: ReadingOrder, system: str, augment: Augment | None):
        self.before, self.order, self.system, self.augment = before, order, system, augment
        self.wavs = read_table(wav_scp)

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        entries, rounds, order = self.before(uid, data), parse_rounds(data.get("history", "")), self.order
        first = uid.removesuffix(f"-round{len(rounds) + 1}")
        ids = [first, *(f"{first}-round{number}" for number in range(2, len(rounds) + 1))][: len(rounds)]
        texts, sounds = [entries["context"]], []
        if rounds and first != uid and all(one in self.wavs for one in ids):
            texts = [order.before_turn(self.system)]
            texts += [order.suffix() + order.answer(answer) + order.prefix(first=False) for _, answer in rounds]
            sounds = [load_sound(one, self.wavs[one], self.augment) for one in ids]
        for name, some, dtype in (("opening", texts, np.int64), ("earlier", sounds, np.float32)):
            entries[name] = np.concatenate([np.zeros(0, dtype), *(np.asarray(one, dtype) for one in some)])
            entries[f"{name}_sizes"] = np.array([len(one) for one in some], dtype=np.int64)
        return entries


class DialogueTask(ListeningTask):
    """Reads wav.scp (16 kHz), answer (none: no answer), states, and optionally history, a JSON list of earlier
    [user text, answer] pairs, text, what is said, for a kl_weight, and reference.scp, for a head that reads what the
    system plays (none: it never speaks); trains prompt and state head."""

    config_class = DialogueModelConfig
    files = {
        "speech": ("wav.scp", "sound"),
        "answer": ("answer", "sparse_text"),
        "states": ("states", "lazy_ints"),
        "history": ("history", "sparse_text"),
        "question": ("text", "sparse_text"),
        "reference": ("reference.scp", "kaldi_ark"),
        SAID: (SAID, "lazy_ints"),
    }
    optional = ("history", "question", "reference", SAID)

    @classmethod
    def set_up(cls, args: argparse.Namespace) -> tuple[DialogueModelConfig, Resources]:
        config, resources = super().set_up(args)
        transcribes = resources.unit_size > 0  # a session has the words of earlier rounds from the CTC head
        if config.history == "text" and not transcribes:
            raise ConfigError("model: history: text needs a CTC head, and this model has none: set history: speech")
        if config.history == "speech" and config.adapter.transcribed:
            raise ConfigError("model: history: speech would need what a transcriber says of earlier rounds: set text")
        return replace(config, history=config.history or ("text" if transcribes else "speech")), resources

    @classmethod
    def needed(cls, config: DialogueModelConfig) -> tuple[str, ...]:
        return (*super().needed(config), *(("question",) if config.kl_weight else ()))

    @classmethod
    def own_parts(cls, config: DialogueModelConfig, resources: Resources, encoder_size: int) -> dict[str, nn.Module]:
        return {
            "prompt": prompt_part(config.prompt, resources),
            "state_head": StateHead(config.state_head, resources.llm_size, encoder_size),
        }

    @classmethod
    def assemble(cls, config: DialogueModelConfig, parts: dict[str, Any], resources: Resources) -> DialogueModel:
        parts = parts | search_part(config, resources)
        return DialogueModel(parts, config, cls.trained(config, parts), stage_llm(parts, resources))

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Preprocess:
        config, resources = cls.set_up(args)
        augment = build_augment(config.augment, train, cls.sample_hz)
        read = Reader(cls.turn_readers(resources, question="question"), ("speech",), augment)
        listed = getattr(args, f"{'train' if train else 'valid'}_data_path_and_name_and_type")
        if train and config.state_head.reference and not any(name == "reference" for _, name, _ in listed):
            logging.warning("no reference.scp: the state head does not learn from what the system plays")
        if config.history == "text":
            return read
        wav_scp = next(path for path, name, _ in listed if name == "speech")
        return EarlierRounds(read, wav_scp, resources.llm.order, resources.system, augment)


def prompt_part(count: int, resources: Resources) -> nn.Embedding:
    """`count` vectors that start as the system text: random ones are ten times as loud, and hard to unlearn."""
    prompt = nn.Embedding(count, resources.llm_size)
    if count and resources.loads and resources.llm_path is not None:
        embedding = resources.embedding
        ids = tokenise(resources.system or ANSWER, embedding.tokenizer)
        prompt.weight.data.copy_(embedding.embed(torch.tensor([ids[index % len(ids)] for index in range(count)])))
    return prompt
