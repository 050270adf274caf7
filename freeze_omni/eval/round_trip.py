"""Rejection of synthetic speech by a round trip: what a recogniser does not hear as it was written is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.tables import TableError, read_table, write_lines
from freeze_omni.eval.judge import Judge, JudgeConfig
from freeze_omni.eval.speech import judged_texts
from freeze_omni.eval.wer import error_rate

REJECTED = "rejected"


def reject_misheard(
    folder: Path, model_dir: Path, config: JudgeConfig, judge: Callable[[], Judge], most_wer: float, normaliser: str
) -> tuple[int, int]:
    """Take utterances whose error rate (a fraction) is above most_wer out of a data directory.

    Writes `rejected` with `<id><tab><error rate><tab>text<tab>what was heard`. Clips that were heard before are not
    heard again. Returns the numbers of kept and rejected utterances.
    Raises TableError where nothing would be left.
    """
    texts, speakers = read_table(folder / "text"), read_table(folder / "utt2spk")
    wavs = read_table(folder / "wav.scp")
    heard = judged_texts(folder, config, model_dir, judge)
    rejected, kept = [], []
    for key, text in texts.items():
        rate = error_rate({key: text}, {key: heard[key]}, normaliser).percent / 100
        if rate > most_wer:
            rejected.append(f"{key}\t{rate:.2f}\t{text}\t{heard[key]}")
        else:
            kept.append(key)
    write_lines(folder / REJECTED, rejected)
    if not kept:
        raise TableError(
            f"{folder}: every utterance was misheard, see {folder / REJECTED}; is the judge's language right?"
        )
    if rejected:
        write_set(folder, *({key: table[key] for key in kept} for table in (wavs, texts, speakers)))
    return len(kept), len(rejected)
