"""Every recipe with the miniature of its corpus and the options that a miniature needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.data.corpora import dialogue_miniatures as written
from tests.data.corpora import speech_miniatures as spoken
from tests.shell.bash import ROOT

EGS = ROOT / "egs"
BUDGET, DIALOGUE = (Path(__file__).with_name(f"toy_{name}.yaml") for name in ("budget", "dialogue"))
BPE = ("--nbpe", "30")
CHAR = ("--unit_kind", "char")
ZH = ("--conf", "conf/zh/tiny")
SPOKEN = ("--voices", "{voices}", "--voice", "{voice}", "--speak_opts", "--dialogues=2,--sentences=3")
MOST_S = 1500  # a recipe that hangs ends here


@dataclass(frozen=True)
class Mini:
    """make: writes the corpus below a folder and returns what `variable` of db.sh is set to.

    before: options that run.sh takes first; data_opts: of local/data.sh; sets: some of those that it makes.
    {corpus}, {voices} and {voice} are filled in.
    """

    sets: tuple[str, ...]
    make: Callable[[Path], Path] | None = None
    variable: str = ""
    options: tuple[str, ...] = ()
    data_opts: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


def sentences(root: Path) -> Path:
    path = root / "sentences.txt"
    path.write_text("".join(f"This is sentence number {n}.\n" for n in "one two three four five".split()))
    return path


def welsh(root: Path) -> Path:
    return spoken.commonvoice(root, "cy")


RECIPES = {
    "an4/asr1": Mini(("train_nodev", "train_dev", "test"), options=BPE),
    "librispeech/asr1": Mini(("train_clean_100", "test_other"), spoken.librispeech, "LIBRISPEECH", BPE),
    "aishell/asr1": Mini(("train", "test"), spoken.aishell, "AISHELL", ZH),
    "wenetspeech/asr1": Mini(("train_l", "test_meeting"), spoken.wenetspeech, "WENETSPEECH", ZH),
    "gigaspeech/asr1": Mini(("train_xl", "dev"), spoken.gigaspeech, "GIGASPEECH", BPE),
    "commonvoice/asr1": Mini(("train_cy", "dev_cy"), welsh, "COMMONVOICE", BPE, before=("--lang", "cy")),
    "from_hf/asr1": Mini(("train", "validation"), spoken.from_hf, "FROM_HF", BPE, before=("--dataset", "{corpus}")),
    "ljspeech/tts1": Mini(
        ("tr_no_dev", "eval1"), spoken.ljspeech, "LJSPEECH", data_opts=("--prepare_opts", "--held_out=1")
    ),
    "libritts/tts1": Mini(("train_clean_100", "dev_clean"), spoken.libritts, "LIBRITTS"),
    "vctk/tts1": Mini(
        ("tr_no_dev", "dev"), spoken.vctk, "VCTK", data_opts=("--prepare_opts", "--held_out=1,--most_skipped=0.5")
    ),
    "aishell3/tts1": Mini(
        ("train_no_dev", "dev"), spoken.aishell3, "AISHELL3", ZH, data_opts=("--prepare_opts", "--dev_share=0.2")
    ),
    "synth/tts1": Mini(
        ("train", "test"), sentences, data_opts=("--text", "{corpus}", "--voices", "{voices}", "--held_out", "1")
    ),
    "moss_003_sft/s2s1": Mini(
        ("asr_train", "tts_test"),
        written.moss,
        "MOSS",
        CHAR,
        ("--share", "1.0", "--prepare_opts", "--held_out=0.1", *SPOKEN),
    ),
    "json_dialogue/s2s1": Mini(
        ("asr_train", "tts_test"), written.alpaca, "JSON_DIALOGUE", CHAR, ("--prepare_opts", "--held_out=0.1", *SPOKEN)
    ),
    "task_dialogue/s2s1": Mini(("asr_train", "tts_test"), written.sgd, "SGD", CHAR, SPOKEN),
}


@cache
def voices() -> tuple[str, str]:
    """Voices of the users and of the assistant: flite's, which are quick, or kokoro's if flite is not available."""
    flite = subprocess.run([ROOT / "tools/installers/get_flite.sh"], capture_output=True)
    if flite.returncode == 0:
        return "flite:slt,flite:rms", "flite:slt"
    return "kokoro:af_heart", "kokoro:af_heart"


def toy_conf(folder: Path, tiny: str = "tiny") -> Path:
    """conf/tiny, or conf/zh/tiny, with the toy budget: a few updates a stage."""
    conf = folder / "tiny"  # by this name a run knows that it is a toy
    shutil.copytree(EGS / "TEMPLATE/s2s1/conf" / tiny, conf)
    for path in conf.glob("[12].*.yaml"):
        content = yaml.safe_load(path.read_text()) | yaml.safe_load(BUDGET.read_text())
        path.write_text(yaml.safe_dump(content))
    return conf


def toy_dialogue(folder: Path, **more: object) -> Path:
    """The toy configuration of stage 4, in the voice that is available."""
    path = folder / "dialogue.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(DIALOGUE.read_text()), "voice": voices()[1], **more}))
    return path


def judge() -> str:
    """The smallest recogniser, or nothing if it is not available."""
    found = subprocess.run([ROOT / "tools/installers/get_whisper_tiny_en.sh"], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def run_recipe(
    name: str,
    work: Path,
    options: tuple[str, ...] = (),
    before: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """run.sh up to stage 3 at the scale tiny; what it writes lies in `work`/egs/<name>, as it would in the recipe."""
    folder = work / "egs" / name
    words = [*before, "--conf", "conf/tiny", "--stop_stage", "3"]
    for kind in ("data", "dump", "exp"):
        words += [f"--{kind}dir", str(folder / kind)]
    return subprocess.run(
        [EGS / name / "run.sh", *words, *options],
        env={**os.environ, "HF_HOME": str(work / "hf"), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MOST_S,
    )


def run_miniature(name: str, work: Path, *more: str) -> subprocess.CompletedProcess:
    """Make the corpus if necessary, and run the recipe on it."""
    mini, env, filled = RECIPES[name], {}, {}
    corpus = work / "corpora" / name.replace("/", "_")
    if mini.make is not None:
        written_to = corpus / "path"
        if not written_to.exists():
            (corpus / "files").mkdir(parents=True)
            written_to.write_text(str(mini.make(corpus / "files")))
        filled["corpus"] = written_to.read_text()
        if mini.variable:
            env[mini.variable] = filled["corpus"]
    if "{voices}" in mini.data_opts:
        filled["voices"], filled["voice"] = voices()

    def fill(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.format(**filled) for word in words)

    data_opts = ("--local_data_opts", " ".join(fill(mini.data_opts))) if mini.data_opts else ()
    return run_recipe(name, work, (*mini.options, *data_opts, *more), fill(mini.before), env)
