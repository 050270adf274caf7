"""Corpora of speech in miniature: published folders and files, real speech. Each function returns the root folder."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import soundfile

from tests.data.corpora.clips import clip, clips, packed


def librispeech(root: Path) -> Path:
    subsets = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
    for number, subset in enumerate(subsets):
        for chapter in (f"{100 + number}-1", f"{200 + number}-2"):
            folder = root / "LibriSpeech" / subset / chapter.replace("-", "/")
            lines = []
            for i in range(3 if number == 0 else 1):
                clip(2 * number + i).write(folder / f"{chapter}-{i:04d}.flac")
                lines.append(f"{chapter}-{i:04d} {clip(2 * number + i).words}\n")
            (folder / f"{chapter}.trans.txt").write_text("".join(lines))
    return root / "LibriSpeech"


def libritts(root: Path) -> Path:
    for number, subset in enumerate(("train-clean-100", "dev-clean", "test-clean")):
        folder = root / "LibriTTS" / subset / str(100 + number) / "7"
        for i in range(2):
            key = f"{100 + number}_7_000001_{i:06d}"
            clip(number + i).write(folder / f"{key}.wav", 24000)
            for kind in ("normalized", "original"):
                (folder / f"{key}.{kind}.txt").write_text(clip(number + i).words.capitalize() + ".")
    return root


def aishell(root: Path) -> Path:
    lines = []
    for name, speaker in (("train", "S0002"), ("train", "S0003"), ("dev", "S0724"), ("test", "S0764")):
        for i in range(2):
            key = f"BAC009{speaker}W{121 + i:04d}"
            clip(i + int(speaker[-1])).write(root / "data_aishell" / "wav" / name / speaker / f"{key}.wav")
            lines.append(f"{key} {' '.join(clip(i + int(speaker[-1])).signs)} \n")
    table = root / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt"
    table.parent.mkdir()
    table.write_text("".join(sorted(lines)), encoding="utf-8")
    return root


def _recording(path: Path) -> list[tuple[float, float]]:
    """All clips in one long opus file; begin and end of each."""
    import numpy as np

    gap, pieces, times, at = np.zeros(8000, np.float32), [], [], 0
    for one in clips():
        times.append((at / 16000, (at + len(one.wav)) / 16000))
        pieces += [one.wav, gap]
        at += len(one.wav) + len(gap)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(pieces), 16000, format="OGG", subtype="OPUS")
    return times


def wenetspeech(root: Path) -> Path:
    audios = []
    for aid, part, subsets in (
        ("Y0000000000_train", "train", ["S", "M", "L"]),
        ("Y0000000001_train", "train", ["L"]),
        ("Y0000000002_dev", "dev", ["DEV"]),
        ("TEST_NET_Y0000000003", "test_net", ["TEST_NET"]),
        ("TEST_MEETING_T0000000004", "test_meeting", ["TEST_MEETING"]),
    ):
        path = f"audio/{part}/youtube/B00000/{aid}.opus"
        segments = [
            {
                "sid": f"{aid}_S{i:05d}",
                "confidence": 1.0 if i else 0.96,
                "begin_time": round(start, 2),
                "end_time": round(end, 2),
                "subsets": subsets,
                "text": "".join(clip(i).signs),
            }
            for i, (start, end) in enumerate(_recording(root / path))
        ]
        audios.append({"aid": aid, "duration": 1.0, "path": path, "tags": [], "url": "", "segments": segments})
    (root / "WenetSpeech.json").write_text(json.dumps({"audios": audios}, ensure_ascii=False, indent=2))
    return root


def gigaspeech(root: Path) -> Path:
    audios = []
    for aid, folder, subsets in (
        ("POD0000000749", "podcast/P0001", ["{XL}", "{L}", "{M}"]),
        ("YOU0000000315", "youtube/P0007", ["{DEV}"]),
        ("AUD0000000468", "audiobook/P0001", ["{TEST}"]),
    ):
        path = f"audio/{folder}/{aid}.opus"
        segments = [
            {
                "sid": f"{aid}_S{i:07d}",
                "speaker": "N/A",
                "begin_time": round(start, 2),
                "end_time": round(end, 2),
                "subsets": subsets,
                "text_tn": f"{clip(i).words} <PERIOD>"
                if i
                else f"{clip(i).words} <COMMA> {clip(i).words} <QUESTIONMARK>",
            }
            for i, (start, end) in enumerate(_recording(root / path))
        ]
        audios.append({"title": "", "aid": aid, "path": path, "format": "opus", "segments": segments})
    (root / "GigaSpeech.json").write_text(json.dumps({"dataset": "GigaSpeech", "language": "EN", "audios": audios}))
    return root


def commonvoice(root: Path, language: str = "en") -> Path:
    folder = root / language
    head = (
        "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\n"
    )
    for number, name in enumerate(("train", "dev", "test")):
        rows = []
        for i in range(3):
            file = f"common_voice_{language}_{100 * number + i}.mp3"
            clip(number + i).write(folder / "clips" / file, 32000, format="MP3")
            client = f"{number}{i}" * 64
            words = clip(number + i).words.capitalize()
            rows.append(f'{client}\t{file}\t1\t"{words}", she said.\t\t2\t0\t\t\t\t{language}\n')
        (folder / f"{name}.tsv").write_text(head + "".join(rows))
    return root


def from_hf(root: Path) -> Path:
    """An audio folder as the library reads it: files and metadata.csv, a folder a split."""
    for number, name in enumerate(("train", "validation", "test")):
        lines = ["file_name,text,speaker_id\n"]
        for i in range(2):
            clip(number + i).write(root / name / f"{i}.wav")
            lines.append(f"{i}.wav,{clip(number + i).words.lower()},{7 + number}\n")
        (root / name / "metadata.csv").write_text("".join(lines))
    return root


def ljspeech(root: Path) -> Path:
    lines = []
    for i in range(6):
        key = f"LJ001-{i + 1:04d}"
        clip(i).write(root / "LJSpeech-1.1" / "wavs" / f"{key}.wav", 22050)
        lines.append(f"{key}|{clip(i).words.lower()} no. {i}|{clip(i).words.lower()} number {i}\n")
    (root / "LJSpeech-1.1" / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return root


def vctk(root: Path) -> Path:
    for speaker in ("p225", "s5"):
        for i in range(4):
            key = f"{speaker}_{i + 1:03d}"
            for mic in ("mic1", "mic2"):
                clip(i).write(root / "wav48_silence_trimmed" / speaker / f"{key}_{mic}.flac", 48000)
            (root / "txt" / speaker).mkdir(parents=True, exist_ok=True)
            (root / "txt" / speaker / f"{key}.txt").write_text(clip(i).words.capitalize() + ".\n")
    clip(0).write(root / "wav48_silence_trimmed" / "p315" / "p315_001_mic1.flac", 48000)  # has no texts, as published
    return root


def aishell3(root: Path) -> Path:
    for name, speaker, count in (("train", "SSB0005", 12), ("test", "SSB0009", 2)):
        lines = []
        for i in range(count):
            key = f"{speaker}{i + 1:04d}"
            clip(i % 3).write(root / name / "wav" / speaker / f"{key}.wav", 44100)
            lines.append(f"{key}.wav\t{' '.join(f'{sign} pin1' for sign in clip(i % 3).signs)}\n")
        (root / name / "content.txt").write_text("".join(lines), encoding="utf-8")
    return root


def an4(root: Path) -> Path:
    """The part of it that the installed ESPnet brings along, as it is."""
    with tarfile.open(packed()) as archive:
        archive.extractall(root, filter="data")
    return root / "downloads"
