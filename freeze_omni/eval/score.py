"""Stage 12: from decoding folders to one file of figures.

A root holds what stage 11 decoded with one model: asr_<set>/, qa/, states/, latency/, codec/, tts/, duplex/. What is
not there is not scored. WER is in percent, shares and accuracies are fractions, times are seconds.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import read_table
from freeze_omni.duplex.labels import Segment
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.decode.asr import chunk_name
from freeze_omni.eval.decode.codec import COPY, ORIGINAL
from freeze_omni.eval.decode.sets import question_answers, read_jsonl, read_states
from freeze_omni.eval.duplex.scene import read_scenes
from freeze_omni.eval.duplex.score import score_outputs
from freeze_omni.eval.judge import Judge
from freeze_omni.eval.latency import score_latency
from freeze_omni.eval.qa import score_rounds
from freeze_omni.eval.quality import score_quality
from freeze_omni.eval.records import read_records
from freeze_omni.eval.speech import judged_texts
from freeze_omni.eval.states import Scene, score_scenes
from freeze_omni.eval.wer import error_rate

STREAMED = "streamed"


def score_root(root: Path, config: DecodeConfig, judge_dir: Path | None) -> dict[str, Any]:
    """All figures of one model. Without a judge, speech is not scored."""
    found: dict[str, Any] = {
        "asr": {
            folder.name.removeprefix("asr_"): score_asr(folder, config)
            for folder in sorted(root.glob("asr_*"))
            if (folder / "decode.json").exists()
        }
    }
    for name, scorer in (("qa", score_qa), ("states", score_states)):
        if (root / name / "decode.json").exists():
            found[name] = scorer(root / name, config)
    if (root / "latency" / "decode.json").exists():
        found["latency"] = score_latency(read_records(root / "latency" / "records.jsonl").values())
    if (root / "duplex" / "decode.json").exists():
        scenes = read_scenes(data_of(root / "duplex"), sound=False)
        found["duplex"] = score_outputs(root / "duplex", scenes) | {"pace": config.duplex.pace}
    if judge_dir is not None:
        found["speech"] = score_speech(root, config, judge_dir)
    if (config.score.dnsmos or config.score.speaker_similarity) and (root / "codec" / "decode.json").exists():
        found["quality"] = score_quality(spoken_folders(root, found.get("speech", {})), config.score)
    return {name: figures for name, figures in found.items() if figures}


def data_of(folder: Path) -> Path:
    """The data directory that a decoding folder was made from."""
    return Path(json.loads((folder / "made_from.json").read_text(encoding="utf-8"))["data"])


def score_asr(folder: Path, config: DecodeConfig) -> dict[str, Any]:
    """Error rates by chunk size, and of the LLM's transcript if there is one."""
    references = read_table(data_of(folder) / "text")
    names = [chunk_name(size) for size in config.asr.chunk_sizes] + ["llm"] * config.asr.llm
    figures = {}
    for name in names:
        hypotheses = read_table(folder / f"text.{name}", need_value=False)
        chosen = {key: references[key] for key in hypotheses}
        figures[name] = error_rate(chosen, hypotheses, config.score.normaliser).as_dict()
    return figures


def score_qa(folder: Path, config: DecodeConfig) -> dict[str, Any]:
    """Answers to spoken and written questions: of all rounds and, where there are several, of each."""
    records, references = read_records(folder / "records.jsonl"), question_answers(data_of(folder))
    return score_rounds(records, references, config.score.normaliser)


def score_states(folder: Path, config: DecodeConfig) -> dict[str, Any]:
    """Turn taking on the set's scenes."""
    data, records = data_of(folder), read_records(folder / "records.jsonl")
    scenes, labels = read_jsonl(data / "scene"), read_states(data / "states")
    return score_scenes(
        (read_scene(key, scenes[key], labels[key], record) for key, record in records.items()),
        config.score.takes,
    )


def read_scene(key: str, scene: dict[str, Any], labels: list[int], record: dict[str, Any]) -> Scene:
    """One line of `scene`, the labels of its chunks, and what the model said."""
    segments = [Segment(part["kind"], part["start_s"], part["end_s"]) for part in scene["segments"]]
    pauses = [pause["start_s"] for pause in scene.get("pauses", ())]
    paused = [any(segment.start_s < at < segment.end_s for at in pauses) for segment in segments]
    return Scene(key, segments, paused, labels, record["probabilities"])


def score_speech(root: Path, config: DecodeConfig, judge_dir: Path) -> dict[str, Any]:
    """WER of every speech setting, of the codec's copies, of the originals, and of streamed answers."""
    figures: dict[str, Any] = {}
    judge = lru_cache(maxsize=1)(lambda: Judge(judge_dir, config.score.judge))
    for folder in (root / "codec", root / "tts"):
        if (folder / "decode.json").exists():
            for name, record in read_records(folder / "records.jsonl").items():
                texts = read_table(folder / "text")
                heard = judged_texts(folder / name, config.score.judge, judge_dir, judge)
                figures[name] = _speech_rate(texts, heard, config) | _speed(record)
    if (root / "latency" / "decode.json").exists() and any_spoken(root / "latency"):
        texts = read_table(root / "latency" / "text", need_value=False)
        heard = judged_texts(root / "latency", config.score.judge, judge_dir, judge)
        figures[STREAMED] = _speech_rate(texts, heard, config)
    return figures


def spoken_folders(root: Path, speech: dict[str, Any]) -> dict[str, Path]:
    """Folders of speech whose quality is scored: originals, copies, the best setting, streamed answers."""
    wanted = {ORIGINAL: root / "codec" / ORIGINAL, COPY: root / "codec" / COPY}
    best = best_setting(speech)
    if best is not None:
        wanted[best] = root / "tts" / best
    wanted[STREAMED] = root / "latency"
    return {name: folder for name, folder in wanted.items() if (folder / "wav.scp").exists() and any_spoken(folder)}


def any_spoken(folder: Path) -> bool:
    """Whether there is a clip at all: a model may have answered no question with a sound."""
    return (folder / "wav.scp").stat().st_size > 0


def best_setting(speech: dict[str, Any]) -> str | None:
    """The top-k and prefix with the fewest errors."""
    settings = [name for name in speech if name not in (COPY, ORIGINAL, STREAMED)]
    return min(settings, key=lambda name: speech[name]["percent"], default=None)


def _speech_rate(texts: dict[str, str], heard: dict[str, str], config: DecodeConfig) -> dict[str, Any]:
    """Word and character error rates of what was heard."""
    said = {key: texts[key] for key in heard}
    rate = error_rate(said, heard, config.score.normaliser).as_dict()
    rate["character_percent"] = error_rate(said, heard, "characters").as_dict()["percent"]
    return rate


def _speed(record: dict[str, Any]) -> dict[str, Any]:
    if "took_s" not in record:
        return {}
    audio_s = record["audio_s"]
    return {"real_time_factor": record["took_s"] / audio_s if audio_s else None, "empty": record["empty"]}
