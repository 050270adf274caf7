"""Stage 2.3 on what a session speaks at a time: segments of answers, each with its hidden states and its tokens."""

from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np

from freeze_omni.speech_decoder.segment import SegmentConfig, SegmentState, TextSegment, finish, push
from freeze_omni.tasks.base import Preprocess
from freeze_omni.tasks.speech_decoder import cut


class SpokenSegment:
    """After another preprocess: replaces an answer by one of its segments; needs `row_tokens`.

    The text, its row_tokens and tokens are those of the segment. `answer` stays whole, as the LLM writes it whole;
    `segment` (2,) has the first of its tokens that are spoken, and the one after the last. train: a random segment,
    by numpy's global seed, which ESPnet sets; otherwise always the same.
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
