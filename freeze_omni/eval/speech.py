"""WER of speech: clips of a decoding folder through the judge, kept beside them, against their texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval.judge import RATE_HZ, Judge, JudgeConfig, progress
from freeze_omni.eval.records import Records

GROUP = 48


def judged_texts(folder: Path, config: JudgeConfig, model_dir: Path, judge: Callable[[], Judge]) -> dict[str, str]:
    """What the judge hears in folder/wav.scp; also written to folder/text.judge.

    Clips that were judged before, as they are now, are not judged again. judge: makes the recogniser, and is
    called only where there is work for it.
    """
    table = read_table(folder / "wav.scp")
    stats = {key: Path(path).stat() for key, path in table.items()}
    made_from = {
        "clips": {key: (stat.st_size, stat.st_mtime_ns) for key, stat in stats.items()},
        "judge": Path(model_dir).name,
        "config": repr(config),
    }
    records = Records(folder / "judge", made_from)
    todo = records.missing(table)
    for start in range(0, len(todo), GROUP):
        group = todo[start : start + GROUP]
        clips = {key: read_audio(table[key], RATE_HZ)[0] for key in group}
        texts = judge().transcribe(clips)
        records.add({"id": key, "text": text} for key, text in texts.items())
        progress(len(records.found), len(table))
    found = {key: records.found[key]["text"] for key in table}
    write_table(folder / "text.judge", found)
    return found
