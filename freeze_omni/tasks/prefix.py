"""Stage 2.3: the NAR prefix learns to read the LLM's hidden states; all else stays frozen (paper section 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
from torch import Tensor, nn

from freeze_omni.llm.tuned import LlmTuningConfig
from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.normalise import TextStyle
from freeze_omni.speech_decoder.segment import SegmentConfig, SegmentState, TextSegment, finish, push
from freeze_omni.tasks.answer_states import AnswerStates
from freeze_omni.tasks.base import Preprocess
from freeze_omni.tasks.llm_pass import Piece, embedded, join, predicting
from freeze_omni.tasks.parts_model import pairs
from freeze_omni.tasks.preprocess import Reader, before_answer
from freeze_omni.tasks.resources import Resources, stage_llm, tuning_part
from freeze_omni.tasks.speech_decoder import SpeechDecoderModel, SpeechDecoderTask, cut, text_reader


@dataclass(frozen=True, kw_only=True)
class PrefixModelConfig:
    """Keys under `model:` of stage 2.3; speech_decoder and text_style come with the parts of stage 2.2.

    prefix_from_ar: start the prefix from the trained AR layers, which read its keys and values. segments: how a session
    cuts answers; training then speaks one segment of each answer, not the whole, for which its rows need durations.
    llm_tuning: of stage 1.3, if it had one: it stays frozen here. keep_mb: memory of a process for the answers' hidden
    states, which are computed once; answers that have no room are read in every epoch.
    """

    speech_decoder: SpeechDecoderConfig
    text_style: TextStyle = "plain"
    prefix_from_ar: bool = True
    segments: SegmentConfig | None = None
    llm_tuning: LlmTuningConfig | None = None
    keep_mb: int = 1024


class PrefixModel(SpeechDecoderModel):
    """The LLM's answer, its hidden states and its words, to speech tokens. Only speech_decoder.prefix* is trained."""

    def __init__(self, parts: Mapping[str, nn.Module], trained: tuple[str, ...], llm: nn.Module, keep_mb: int):
        super().__init__(parts, trained, llm)
        self.computed = AnswerStates(keep_mb * 2**20)

    def condition(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """context (B, K) LLM ids up to where the answer starts, answer (B, N) its LLM ids, perhaps segment (B, 2): the
        first of them that is spoken, and the one after the last."""
        states, lengths = self.answer_states(*pairs(batch, "context", "answer"))
        if "segment" not in batch:
            return states, lengths
        return pad_rows([row[start:end] for row, (start, end) in zip(states, batch["segment"].tolist(), strict=True)])

    def answer_states(self, context: Piece, answer: Piece) -> tuple[Tensor, Tensor]:
        """Hidden states (B, N, E) of the answering pass, of each token that which predicted it, and lengths (B,)."""

        def read(numbers: list[int]) -> list[Tensor]:
            before, own = ((ids[numbers], sizes[numbers]) for ids, sizes in (context, answer))
            joined = join([embedded(self.llm, before), embedded(self.llm, own)])
            hidden, _ = self.llm(joined.embeds, joined.mask)
            states = predicting(hidden, joined.starts[:, 1], own[1])
            return [row[:size] for row, size in zip(states, own[1].tolist(), strict=True)]

        written = [
            [tuple(row[:size]) for row, size in zip(ids.tolist(), sizes.tolist(), strict=True)]
            for ids, sizes in (context, answer)
        ]
        return pad_rows(self.computed.of(list(zip(*written, strict=True)), read, answer[0].device))


class PrefixTask(SpeechDecoderTask):
    """Reads text (the question), answer (of the LLM itself), tokens (of the answer's speech), durations as stage 2.2,
    and optionally history as stage 1.3; trains the prefix."""

    config_class = PrefixModelConfig
    files = SpeechDecoderTask.files | {"answer": ("answer", "text"), "history": ("history", "sparse_text")}
    optional = ("row_tokens", "history")
    trains_prefix = True

    @classmethod
    def needed(cls, config: PrefixModelConfig) -> tuple[str, ...]:
        return ("row_tokens",) if config.segments is not None else ()

    @classmethod
    def build_parts(cls, config: PrefixModelConfig, resources: Resources) -> dict[str, nn.Module]:
        return super().build_parts(config, resources) | tuning_part(config, resources)

    @classmethod
    def assemble(cls, config: PrefixModelConfig, parts: dict[str, Any], resources: Resources) -> PrefixModel:
        if config.prefix_from_ar:
            parts["speech_decoder"].copy_ar_to_prefix()
        return PrefixModel(parts, cls.trained(config, parts), stage_llm(parts, resources), config.keep_mb)

    @classmethod
    def preprocess(cls, config: PrefixModelConfig, resources: Resources, train: bool) -> Preprocess:
        llm = resources.llm
        context = partial(before_answer, order=llm.order, system=resources.system)
        texts = {"answer": ("answer", llm.order.answer), "text": ("answer", text_reader(config, llm.tokenizer))}
        read = Reader({"context": (("text", "history"), context), **texts})
        return read if config.segments is None else SpokenSegment(read, config.segments, llm.tokenizer, train)


class SpokenSegment:
    """After another preprocess: replaces an answer by one of its segments; needs `row_tokens`.

    The text, its row_tokens and tokens are those of the segment. `answer` stays whole, as the LLM writes it whole;
    `segment` (2,) has the first of its tokens that are spoken, and the one after the last. train: a random segment,
    by numpy's global seed, set for each utterance (`SeededDataset`); otherwise always the same.
    """

    def __init__(self, before: Preprocess, config: SegmentConfig, tokenizer: Any, train: bool):
        self.before, self.config, self.tokenizer, self.train = before, config, tokenizer, train

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        entries = self.before(uid, data)
        answer, text = entries["answer"].tolist(), entries["text"].tolist()
        whole = entries | {"segment": np.array([0, len(answer)])}
        ends = np.cumsum([0, *entries["row_tokens"]])
        if len(ends) != len(text) + 1:  # durations of another text: the loss says so
            return whole
        segments = spoken_segments(answer, self.config, self.tokenizer)
        rows = segment_rows(segments, [self.tokenizer.decode([row]) for row in text])
        said = [(one, start, end) for one, (start, end) in zip(segments, rows, strict=True) if ends[end] > ends[start]]
        if not said:
            return whole
        chosen = np.random.randint(len(said)) if self.train else crc32(uid.encode()) % len(said)
        one, start, end = said[chosen]
        return cut(entries, start, end) | {"segment": np.array([one.first_token, one.end_token])}


def spoken_segments(ids: list[int], config: SegmentConfig, tokenizer: Any) -> list[TextSegment]:
    """The segments of an answer of LLM ids, cut while it grows, as in a session (`Writer`)."""
    segments: list[TextSegment] = []
    state, before, waiting = SegmentState(), "", 0
    for count in range(1, len(ids) + 1):
        waiting += 1
        text = tokenizer.decode(ids[:count], skip_special_tokens=True)
        if text.endswith("\ufffd"):  # half a character
            continue
        ready, state = push(config, state, text[len(before) :], waiting)
        segments, before, waiting = segments + ready, text, 0
    return segments + finish(state)[0]


def segment_rows(segments: list[TextSegment], rows: list[str]) -> list[tuple[int, int]]:
    """Of each segment the first row that says it, and the row after its last; rows: what each one says."""
    written, spoken = "".join(one.text for one in segments).lower(), "".join(rows).lower()
    blocks = SequenceMatcher(None, written, spoken, autojunk=False).get_matching_blocks()
    ends = np.cumsum([len(row) for row in rows])
    places, at = [0], 0
    for one in segments[:-1]:
        at += len(one.text)
        last = max((block for block in blocks if block.a < at), key=lambda block: block.a, default=blocks[-1])
        place = np.searchsorted(ends, last.b + min(at - last.a, last.size)) + 1
        places.append(min(int(place), len(rows)))
    return list(pairwise([*places, len(rows)])) if segments else []
