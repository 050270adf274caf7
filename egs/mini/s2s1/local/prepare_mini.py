#!/usr/bin/env python3
"""Stage 1 of the mini recipe: fact tables -> questions, sentences, speech -> Kaldi directories below data/."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

from mini_config import MiniConfig
from mini_sentences import Sentences, make_sentences
from mini_sets import plan_asr, plan_duplex, plan_tts
from mini_sources import missing_voices, recorded_sources, spoken_sources
from real_speech import write_real_speech

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.kaldi_dir import write_sources, write_spoken_set
from freeze_omni.data.questions import write_questions
from freeze_omni.data.tables import TableError, write_lines
from freeze_omni.data.tts.backends import TtsError
from freeze_omni.data.tts.synthesize import TtsFolders, available_voices, default_cache, synthesize
from freeze_omni.dialogues.answers import LlmAnswer, answer_questions

HERE = Path(__file__).parent


def main(arguments: list[str]) -> None:
    args = parse(arguments)
    scale = HERE / "scales" / f"{args.scale}.yaml"
    config = build(MiniConfig, read_yaml(scale), str(scale))
    voices = available_voices(TtsFolders())
    if "kokoro" not in voices:
        raise TtsError("no kokoro voices; run tools/installers/get_kokoro.sh")
    sentences = make_sentences(HERE / "facts", config)
    answers = timed("the LLM's answers", ask, sentences, config, args.llm)
    write_qa(sentences, answers, args.data)
    sets = plan_tts(sentences, answers, config)
    sets |= plan_asr(sentences, answers, voices, config)
    sets |= plan_duplex(sentences, voices, config)
    sets["asr_train"] += sets["tts_train"]  # one more voice for speech input, already paid for
    sets["tts_train"] += sets.pop("tts_words", [])  # after that: one voice among many is not to have a third of them
    jobs = [job for name in sorted(sets) for job in sets[name]]
    paths = timed("synthesis", synthesize, jobs, TtsFolders(), args.nj)
    sources = missing_voices(config, voices)
    for name, members in sets.items():
        seconds = write_spoken_set(args.data / name, members, paths)
        print(f"{args.data / name}: {len(members)} utterances, {seconds / 60:.1f} min")
        sources += spoken_sources(name, members, paths, voices["kokoro"])
    if args.real_speech:
        write_real_speech(args.real_speech, args.data, config.asr.real_train, config.asr.real_test)
    else:
        print("no recorded prompts: asr_real_train and asr_test_real are left out")
    sources += recorded_sources(args.data, wanted=args.real_speech is not None)
    write_sources(args.data, sorted(sources, key=lambda one: one.set))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="mini", choices=["tiny", "mini", "base"])
    parser.add_argument("--nj", type=int, default=2, help="synthesis processes")
    parser.add_argument("--llm", required=True, help="folder of the frozen LLM")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the directories go")
    parser.add_argument("--real_speech", type=Path, help="folder of the recorded prompts, if there")
    return parser.parse_args(arguments)


def ask(sentences: Sentences, config: MiniConfig, llm_folder: str) -> dict[str, LlmAnswer]:
    """Answers to the held-out questions and to `asked` training questions, kinds as they come."""
    from freeze_omni.llm.frozen import FrozenLLM  # here: synthesis processes import this file too

    train = [question.question for question in sentences.questions["train"]]
    random.Random(config.seed).shuffle(train)
    wanted = train[: config.asked]
    for name in ("dev", "test"):
        wanted += [question.question for question in sentences.questions[name]]
    llm = FrozenLLM.load(llm_folder, "float32", "cpu")
    return answer_questions(llm, wanted, config.answers, default_cache())


def write_qa(sentences: Sentences, answers: dict[str, LlmAnswer], data: Path) -> None:
    """data/qa_*/questions.jsonl, and answers.jsonl with what the LLM said to those it was asked."""
    for name, questions in sentences.questions.items():
        folder = data / f"qa_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        write_questions(folder / "questions.jsonl", questions)
        said = [(q, answers[q.question]) for q in questions if q.question in answers]
        rows = ({"id": q.id, "answer": a.text, "ended": a.ended} for q, a in said)
        write_lines(folder / "answers.jsonl", (json.dumps(row) for row in rows))


def timed(what: str, work, *arguments):
    """Call work and print how long it took."""
    start = time.monotonic()
    result = work(*arguments)
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ConfigError, TableError, TtsError, ValueError) as error:
        sys.exit(f"error: {error}")
