"""An independent recogniser of the model's speech: Whisper through faster-whisper (CTranslate2, int8).

Whisper pays for a window of 30 s at every call. So clips are joined, with pauses in between, to windows of up to 28 s,
and words are assigned to clips by their time stamps. If that is in doubt (a word across a border, a clip without a word
although it is not silent, far more words than a voice can say), the clips concerned are decoded again, each alone.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import batched
from pathlib import Path

import numpy as np
import torch

from freeze_omni.data.audio import read_audio
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.data.parts import WHOLE, LeftToOthers, Part
from freeze_omni.data.tables import write_table
from freeze_omni.eval.config import JudgeConfig
from freeze_omni.eval.runner import DecodeJob, clip_records, progress
from freeze_omni.hub import folder_of

RATE_HZ = 16000
FILES = ("model.bin", "*.json", "vocabulary.*")  # of a CTranslate2 Whisper on the hub
JUDGED = "judged"  # folder of a decoding folder: what the judge heard in its inputs
PROMPTS = {"zh": "以下是普通话的句子。"}  # simplified characters, which Whisper follows; else it writes either kind
_GROUP = 48  # clips whose sound is in memory at once


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Placed:
    key: str
    start_s: float
    end_s: float
    silent: bool


class Judge:
    """Transcribes clips with a CTranslate2 Whisper, of a folder or a hub id.

    Raises FileNotFoundError, ImportError, HubError.
    """

    def __init__(self, model_dir: str | Path, config: JudgeConfig | None = None, device: str = "cpu") -> None:
        folder = folder_of(model_dir, FILES)
        if not (folder / "model.bin").is_file():
            raise FileNotFoundError(f"{model_dir}: no model.bin of a CTranslate2 Whisper model; correct --judge")
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise ImportError("the judge needs faster-whisper: pip install 'freeze-omni[eval]'") from None
        self.config = config = config or JudgeConfig()
        self.name = Path(model_dir).name
        kind, _, index = device.partition(":")
        options = {"device_index": int(index or 0), "compute_type": "int8" if kind == "cpu" else "int8_float16"}
        self._model = WhisperModel(
            str(folder), device=kind, cpu_threads=config.threads, local_files_only=True, **options
        )

    def transcribe(self, clips: Mapping[str, np.ndarray]) -> dict[str, str]:
        """Texts of clips, id to (S,) float samples at 16 kHz; a silent clip gives an empty text."""
        texts: dict[str, str] = {}
        for audio, placed in windows(clips, self.config):
            texts.update(self._window(audio, placed, clips))
        return {key: texts[key] for key in clips}

    def words(self, audio: np.ndarray) -> list[Word]:
        """Words of (S,) samples at 16 kHz with their times."""
        segments, _ = self._decode(audio, word_timestamps=True)
        return [Word(w.word, w.start, w.end) for segment in segments for w in segment.words or ()]

    def _window(self, audio: np.ndarray, placed: Sequence[Placed], clips: Mapping[str, np.ndarray]) -> dict[str, str]:
        if all(clip.silent for clip in placed):
            return {clip.key: "" for clip in placed}
        if len(placed) == 1:
            return {placed[0].key: self._alone(audio)}
        texts, doubtful = assign(self.words(audio), placed, self.config)
        return texts | {key: self._alone(clips[key]) for key in doubtful}

    def _alone(self, audio: np.ndarray) -> str:
        pad = np.zeros(RATE_HZ // 4, dtype=np.float32)
        segments, _ = self._decode(np.concatenate([pad, audio.astype(np.float32), pad]))
        return " ".join(segment.text.strip() for segment in segments)

    def _decode(self, audio: np.ndarray, word_timestamps: bool = False):
        return self._model.transcribe(
            audio,
            language=self.config.language,
            initial_prompt=PROMPTS.get(self.config.language),
            beam_size=self.config.beam,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=word_timestamps,
        )


@lru_cache(maxsize=1)
def _load(model_dir: Path, config: JudgeConfig, device: str) -> Judge:
    return Judge(model_dir, config, device)


def judged_texts(
    folder: Path, model_dir: Path, config: JudgeConfig, device: str = "cpu", part: Part = WHOLE
) -> dict[str, str]:
    """What the judge hears in folder/wav.scp, also written to folder/text.judge; only new clips are judged.

    device: cpu or cuda:N; CTranslate2 has no others. Raises LeftToOthers: after its part, while others are missing.
    """
    model_dir = folder_of(model_dir, FILES)
    files = {path.name: fingerprint(path) for path in sorted(model_dir.glob("*")) if path.is_file()}
    heard_by = replace(config, threads=JudgeConfig.threads)  # a job of an array has others than the one that merges
    made_from = {"judge": files, "config": repr(heard_by)}
    (records, table), started_s = clip_records(folder, "judge", made_from, part=part), time.time()
    for group in part.of(list(batched(table, _GROUP))):  # by the set alone, as clips of a group share windows
        if records.missing(group):
            clips = {key: read_audio(table[key], RATE_HZ)[0] for key in group}
            texts = _load(model_dir, config, device).transcribe(clips)
            records.add({"id": key, "text": text} for key, text in texts.items())
            progress("judged clips", len(records.found), len(table), started_s)
    if not part.alone and records.missing(table):
        raise LeftToOthers(f"what the judge hears in {folder}")
    records.settle(table)
    found = {key: records.found[key]["text"] for key in table}
    write_table(folder / "text.judge", found)
    return found


def judge_device(device: str | torch.device) -> str:
    """A device of torch for CTranslate2, which knows CPUs and CUDA."""
    found = torch.device(device)
    return str(found) if found.type == "cuda" else "cpu"


def judged_sounds(job: DecodeJob, sounds: Mapping[str, str], needed: bool = True) -> dict[str, str]:
    """What the judge of a decoding job hears in sound files; {} without a judge.

    needed: for what comes next; otherwise this raises no LeftToOthers, and gives {}.
    """
    if job.judge is None:
        return {}
    folder = job.output / JUDGED
    write_table(folder / "wav.scp", sounds)
    try:
        how = job.config.score.of(job.data.name).judge
        return judged_texts(folder, job.judge, how, judge_device(job.device), job.part)
    except LeftToOthers:
        if needed:
            raise
        return {}


def windows(clips: Mapping[str, np.ndarray], config: JudgeConfig) -> list[tuple[np.ndarray, list[Placed]]]:
    """Join clips, in order and of one loudness, to windows of up to `window_s` with `gap_s` of silence around each."""
    gap = np.zeros(int(config.gap_s * RATE_HZ), dtype=np.float32)
    joined: list[tuple[list[np.ndarray], list[Placed]]] = []
    size = 0
    for key, clip in clips.items():
        loudness = float(np.sqrt(np.mean(np.square(clip)))) if len(clip) else 0.0
        silent = loudness < config.silence_rms
        scaled = clip.astype(np.float32) * (0.0 if silent else min(0.06 / loudness, 30.0))
        if not joined or (size + len(clip)) / RATE_HZ + config.gap_s > config.window_s:
            size = len(gap) // 3
            joined.append(([gap[:size]], []))
        pieces, placed = joined[-1]
        placed.append(Placed(key, size / RATE_HZ, (size + len(clip)) / RATE_HZ, silent))
        pieces += [np.clip(scaled, -1, 1), gap]
        size += len(clip) + len(gap)
    return [(np.concatenate(pieces), placed) for pieces, placed in joined]


def assign(words: Sequence[Word], placed: Sequence[Placed], config: JudgeConfig) -> tuple[dict[str, str], list[str]]:
    """Give every word to the clip that holds its middle; returns texts and the clips that are in doubt."""
    found: dict[str, list[str]] = {clip.key: [] for clip in placed}
    doubtful: set[str] = set()
    for word in words:
        middle = (word.start_s + word.end_s) / 2
        nearest = min(placed, key=lambda clip: _distance(middle, clip))
        found[nearest.key].append(word.text)
        for clip in placed:  # a word that reaches into another clip may belong there
            reach = min(word.end_s, clip.end_s) - max(word.start_s, clip.start_s)
            if clip is not nearest and reach > config.slack_s / 2:
                doubtful |= {clip.key, nearest.key}
        if _distance(middle, nearest) > config.slack_s or nearest.silent:
            doubtful.add(nearest.key)
    for clip in placed:
        limit = max(4.0, (clip.end_s - clip.start_s) * config.words_per_s)
        if (not found[clip.key] and not clip.silent) or len(found[clip.key]) > limit:
            doubtful.add(clip.key)
    texts = {key: " ".join("".join(parts).split()) for key, parts in found.items()}
    return texts, [clip.key for clip in placed if clip.key in doubtful]


def _distance(time_s: float, clip: Placed) -> float:
    return max(clip.start_s - time_s, time_s - clip.end_s, 0.0)
