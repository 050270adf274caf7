"""Rejection of synthetic speech by a round trip: an utterance that a recogniser mishears is left out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from freeze_omni.config import ConfigError
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.tables import TableError, read_table, write_lines, write_table
from freeze_omni.dialogues.plan import Misheard, RejectionConfig
from freeze_omni.eval.config import JudgeConfig
from freeze_omni.eval.judge import judge_device, judged_texts
from freeze_omni.eval.wer import NORMALISERS, error_rate

REJECTED = "rejected"


def misheard(
    folder: Path,
    model_dir: Path,
    config: JudgeConfig,
    most_wer: float,
    normaliser: str,
    device: str | torch.device = "cpu",
    part: Part = WHOLE,
) -> set[str]:
    """Ids of a folder's wav.scp and text whose error rate (a fraction) is above most_wer; none is heard twice.

    device: of torch; the judge takes the CPU in place of what it does not know.
    Writes `rejected`: `<id><tab><error rate><tab>text<tab>what was heard`. Raises TableError if none would be left.
    """
    texts = read_table(folder / "text")
    heard = judged_texts(folder, model_dir, config, judge_device(device), part)
    rates = {key: error_rate({key: text}, {key: heard[key]}, normaliser).percent / 100 for key, text in texts.items()}
    gone = {key for key, rate in rates.items() if rate > most_wer}
    write_lines(folder / REJECTED, (f"{k}\t{rates[k]:.2f}\t{texts[k]}\t{heard[k]}" for k in texts if k in gone))
    if len(gone) == len(texts):
        fix = "is the judge's language right?"
        raise TableError(f"{folder}: every utterance was misheard, see {folder / REJECTED}; {fix}")
    return gone


def reject_misheard(
    folder: Path,
    model_dir: Path,
    config: JudgeConfig,
    most_wer: float,
    normaliser: str,
    device: str | torch.device = "cpu",
) -> tuple[int, int]:
    """Remove the misheard of a data directory; the numbers of kept and rejected utterances. Raises TableError."""
    gone = misheard(folder, model_dir, config, most_wer, normaliser, device)
    tables = [read_table(folder / name) for name in ("wav.scp", "text", "utt2spk")]
    kept = [key for key in tables[1] if key not in gone]
    if gone:
        write_set(folder, *({key: table[key] for key in kept} for table in tables))
    return len(kept), len(gone)


def of_dialogues(
    model_dir: Path,
    config: RejectionConfig,
    threads: int,
    device: str | torch.device = "cpu",
    part: Part = WHOLE,
) -> Misheard:
    """The judge of stage 4: (folder for what was heard, sounds, texts by id) to misheard ids. Raises ConfigError.

    part: hears its share, and raises LeftToOthers while others' is missing.
    """
    if config.normaliser not in NORMALISERS:
        raise ConfigError(f"rejection: normaliser '{config.normaliser}' is none of {', '.join(sorted(NORMALISERS))}")
    how = replace(JudgeConfig(), language=config.language, threads=threads)

    def judged(folder: Path, wavs: Mapping[str, object], texts: Mapping[str, str]) -> set[str]:
        write_table(folder / "wav.scp", wavs)
        write_table(folder / "text", texts)
        gone = misheard(folder, model_dir, how, config.most_wer, config.normaliser, device, part)
        print(f"{folder}: {len(texts) - len(gone)} kept, {len(gone)} rejected (see {folder / REJECTED})", flush=True)
        return gone

    return judged
