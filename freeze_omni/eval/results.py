"""The file of figures of one scale: the table's keys on top, everything behind them below."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import write_lines
from freeze_omni.eval.score import best_setting

KEYS = (
    "asr_wer_seen",
    "asr_wer_unseen",
    "asr_wer_real",
    "qa_accuracy",
    "qa_accuracy_text",
    "qa_ratio",
    "codec_wer",
    "speech_wer",
    "state_take",
    "state_false_pause",
    "state_false_other",
    "first_audio_s",
    "wall_min",
)


def headline(figures: Mapping[str, Any], seen: str, unseen: str, real: str) -> dict[str, float | None]:
    """The table's figures of one model; None for what was not measured.

    figures: of `score_root`. seen, unseen, real: names of the ASR test sets with known voices, with unknown voices,
    and of recorded human speech.
    """
    speech = figures.get("speech", {})
    return {
        "asr_wer_seen": _get(figures, "asr", seen, "chunk4", "percent"),
        "asr_wer_unseen": _get(figures, "asr", unseen, "chunk4", "percent"),
        "asr_wer_real": _get(figures, "asr", real, "chunk4", "percent"),
        "qa_accuracy": _get(figures, "qa", "spoken", "accuracy"),
        "qa_accuracy_text": _get(figures, "qa", "text", "accuracy"),
        "qa_ratio": _get(figures, "qa", "ratio"),
        "codec_wer": _get(speech, "copy", "percent"),
        "speech_wer": _get(speech, best_setting(speech), "percent"),
        "state_take": _get(figures, "states", "take", "share"),
        "state_false_pause": _get(figures, "states", "false_pause", "share"),
        "state_false_other": _get(figures, "states", "false_other", "share"),
        "first_audio_s": _get(figures, "latency", "first_audio_s", "p50"),
    }


def stage_seconds(folder: Path | None) -> dict[str, float]:
    """Seconds of every stage that has run, from files `seconds.<stage>`; empty without a folder."""
    if folder is None:
        return {}
    found = {path.suffix[1:]: float(path.read_text().strip()) for path in folder.glob("seconds.*")}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def wall_min(stages: Mapping[str, float], scoring_s: float) -> float | None:
    """Minutes from data to RESULTS.md: stages 1 to 11, and the scoring that is under way."""
    before = [seconds for stage, seconds in stages.items() if int(stage) < 12]
    return round((sum(before) + scoring_s) / 60, 2) if before else None


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Whole or not at all, as JSON that is read line by line in a diff."""
    write_lines(path, [json.dumps(results, indent=1, ensure_ascii=False)])


def read_results(path: Path) -> dict[str, Any]:
    """Raises ValueError for a file that is no results file."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results["scale"], results["models"]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such results; run stage 12") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no results of stage 12 ({error}); run it again") from None
    return results


def _get(figures: Mapping[str, Any], *keys: str | None) -> Any:
    value: Any = figures
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return round(value, 4) if isinstance(value, float) else value
