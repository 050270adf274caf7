"""What a session did, in words for a terminal and as JSON."""

from __future__ import annotations

from typing import Any

from freeze_omni.session.events import Action, PlayAudio, StateDecision, TextDelta, TranscriptDelta
from freeze_omni.eval.question import Asked

STATES = ("listening on", "answer", "nothing to answer")
NO_TRANSCRIPT = "(no transcript)"
"""Of a model without a CTC head, or of sound in which no words were heard."""


def event_line(action: Action) -> str:
    """One line for an action; empty where there is nothing to tell."""
    match action:
        case TranscriptDelta(text) if text.strip():
            return f"heard    {text.strip()}"
        case StateDecision(state, probabilities, _):
            return f"state    {state} ({STATES[state]}, p = {max(probabilities):.2f})"
        case TextDelta(text):
            return f"writes   {text}"
        case PlayAudio(samples) if len(samples):
            return f"speaks   {len(samples)} samples"
    return ""


def summary(asked: Asked, output_hz: int) -> dict[str, Any]:
    """All of it as one JSON object; `states` holds every chunk at which the state changed."""
    changes: list[dict[str, Any]] = []
    for decision in asked.decisions:
        if not changes or decision.state != changes[-1]["state"]:
            probabilities = [round(value, 3) for value in decision.probabilities]
            changes.append(
                {
                    "time_s": round(decision.time_s, 3),
                    "state": decision.state,
                    "probabilities": probabilities,
                }
            )
    return {
        "transcript": " ".join(asked.transcript.split()),
        "states": changes,
        "decided_s": asked.decided_s,
        "question_end_s": asked.question_end_s,
        "answer": " ".join(asked.text.split()),
        "answer_s": len(asked.audio) / output_hz,
        "first_audio_s": asked.first_audio_s,
    }


def report(found: dict[str, Any], timed: bool) -> list[str]:
    """A summary in lines; timed: with the time to the first audio."""
    lines = [f"user:     {found['transcript'] or NO_TRANSCRIPT}"]
    for change in found["states"]:
        said = f"{change['state']} from {change['time_s']:.2f} s ({STATES[change['state']]})"
        lines.append(f"state:    {said}")
    if found["decided_s"] is None:
        lines.append("state:    never 1 (answer); answered at the end of the sound")
    lines.append(f"answer:   {found['answer']}")
    if timed and found["first_audio_s"] is not None:
        lines.append(f"first audio {found['first_audio_s']:.2f} s after the end of the question")
    if found.get("output"):
        lines.append(f"wrote     {found['output']} ({found['answer_s']:.2f} s)")
    return lines
