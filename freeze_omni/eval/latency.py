"""The paper's latency table from timed sessions: average | 50 % | 90 %, in milliseconds, and real-time factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from freeze_omni.eval.percentiles import summarise

# row of the paper's table: from one mark to another of a timed session
ROWS = {
    "first_text_chunk": ("asked", "segment"),
    "decoder_prefilled": ("segment", "prefill"),
    "first_speech_tokens": ("prefill", "tokens"),
    "first_pcm": ("tokens", "audio"),
    "total": ("asked", "audio"),
}
TOKEN_S = 0.025


def score_latency(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows in ms; first audio and decision behind the question's end in s; speeds of the parts."""
    records = list(records)
    spoken = [record for record in records if "audio" in record["marks"]]
    rows = {
        name: summarise((1000 * (r["marks"][end] - r["marks"][start]) for r in spoken), digits=1)
        for name, (start, end) in ROWS.items()
    }
    own = [record for record in spoken if record["decided_s"] is not None]
    return {
        "rows_ms": rows,
        "decision_s": summarise(r["decided_s"] - r["question_end_s"] for r in own),
        "first_audio_s": summarise(r["marks"]["audio"] - r["question_end_s"] for r in spoken),
        "listening_step_ms": summarise((1000 * s for r in records for s in r["step_s"]), digits=1),
        "real_time_factor": {
            "listening": _ratio(records, lambda r: sum(r["step_s"]), lambda r: r["listened_s"]),
            "speech_tokens": _ratio(spoken, _spent("prefill", "tokens"), _speech_s),
            "codec": _ratio(spoken, _spent("audio", "end"), _speech_s),
            "answer": _ratio(spoken, _answering_s, lambda r: r["answer_s"]),
        },
        "llm_tokens_per_s": _ratio(spoken, lambda r: r["llm_tokens"], _spent("token", "segment")),
        "questions": len(records),
        "answered": len(spoken),
        "answered_by_own_decision": len(own),
    }


def _speech_s(record: Mapping[str, Any]) -> float:
    return record["speech_tokens"] * TOKEN_S


def _answering_s(record: Mapping[str, Any]) -> float:
    return record["marks"]["done"] - record["marks"]["asked"]


def _spent(*names: str):
    return lambda record: sum(record["spent_s"].get(name, 0.0) for name in names)


def _ratio(records, top, bottom) -> float | None:
    """Sum of `top` over sum of `bottom`, None over nothing."""
    total = sum(bottom(record) for record in records)
    return round(sum(top(record) for record in records) / total, 4) if total else None
