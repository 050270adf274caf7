"""Quality of decoded speech next to WER: DNSMOS, and likeness to the intended voice.

Both are optional (`score:` of decode.yaml). Without their third-party weights nothing is measured, and the figures say
so. Results are kept next to the clips, so a rerun measures only new clips.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.data.tts.synthesize import default_cache
from freeze_omni.eval.bootstrap import mean_of
from freeze_omni.eval.codec import COPY, ORIGINAL
from freeze_omni.eval.config import ScoreConfig
from freeze_omni.eval.meters import RATE_HZ, SCALES, Dnsmos, SpeakerEncoder
from freeze_omni.eval.runner import clip_records

DNSMOS = ("dnsmos", "FREEZE_OMNI_DNSMOS_DIR", "sig_bak_ovr.onnx")
SPEAKER_ENCODER = ("speaker_encoder", "FREEZE_OMNI_SPEAKER_ENCODER_DIR", "pretrained.pt")
NO_WEIGHTS = "{} was not measured: no weights; run tools/installers/{}"


def weights_folder(part: tuple[str, str, str]) -> Path | None:
    """The folder of a part (its name, the variable that names another folder, its key file); None if missing."""
    name, variable, key_file = part
    folder = Path(os.environ.get(variable) or default_cache() / name)
    return folder if (folder / key_file).is_file() else None


def score_quality(folders: Mapping[str, Path], config: ScoreConfig) -> dict[str, Any]:
    """`rows`: quality of the clips of decoding folders, by their names in tables; `missing`: what was not measured.

    Originals are of the voice that the model speaks with: a copy is compared with its own, other speech with the mean.
    """
    rows: dict[str, dict[str, Any]] = {name: {} for name in folders}
    missing: list[str] = []
    if config.dnsmos:
        at = weights_folder(DNSMOS)
        if at is None:
            missing.append(NO_WEIGHTS.format("DNSMOS", "get_dnsmos.sh"))
        for name, folder in folders.items() if at is not None else ():
            found = measured(folder, at, lambda: Dnsmos(at, config.judge.threads), Dnsmos.name, config.quality_clips)
            rows[name] |= {scale: _mean([one[scale] for one in found.values()]) for scale in SCALES}
    if config.speaker_similarity:
        at = weights_folder(SPEAKER_ENCODER)
        if at is None:
            missing.append(NO_WEIGHTS.format("speaker similarity", "get_speaker_encoder.sh"))
        elif ORIGINAL in folders:
            prints = {}
            for name, folder in folders.items():
                found = measured(folder, at, lambda: SpeakerEncoder.load(at), SpeakerEncoder.name, config.quality_clips)
                prints[name] = {key: np.asarray(one["voiceprint"]) for key, one in found.items()}
            for name, own in prints.items():
                rows[name]["similarity"] = _mean(likeness(name, own, prints[ORIGINAL]))
    return {"rows": {name: row for name, row in rows.items() if row}, "missing": missing}


def measured(
    folder: Path, weights: Path, make: Callable[[], Dnsmos | SpeakerEncoder], name: str, limit: int
) -> dict[str, dict[str, Any]]:
    """Measures of up to `limit` clips of folder/wav.scp, kept in folder/<name>. make: called if some are missing."""
    records, table = clip_records(folder, name, {"weights": fingerprint(weights)}, limit)
    if todo := records.missing(table):
        meter = make()
        records.add({"id": key, **meter.measure(read_audio(table[key], RATE_HZ)[0])} for key in todo)
    return {key: records.found[key] for key in table}


def likeness(name: str, own: Mapping[str, np.ndarray], originals: Mapping[str, np.ndarray]) -> list[float]:
    """Cosines of voiceprints of length one: of copies to their originals, of other speech to the mean original.

    An original is compared with the mean of the others: the figure that the same voice gets.
    """
    if name == COPY:
        return [float(own[key] @ originals[key]) for key in own if key in originals]
    total = np.sum(list(originals.values()), axis=0)
    wanted = {key: total - originals[key] if name == ORIGINAL else total for key in own}
    return [float(own[key] @ (aim / max(np.linalg.norm(aim), 1e-9))) for key, aim in wanted.items()]


def _mean(values: Sequence[float]) -> dict[str, float | int] | None:
    """Mean with its 95 % interval over clips; None of nothing."""
    found = mean_of(values)
    found["clips"] = found.pop("count")
    return found if values else None
