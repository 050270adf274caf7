#!/usr/bin/env python3
"""Stage 1 of the mini recipe: fact tables -> questions, sentences, speech -> Kaldi directories below data/."""

from __future__ import annotations

import argparse
import functools
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mini_config import MiniConfig
from mini_held_out import HeldOut, read_outside
from mini_open import AskLlm, OpenParts, open_texts, train_questions
from mini_open_sets import plan_open_dev, plan_open_speech, plan_open_train
from mini_sentences import Sentences, make_sentences
from mini_sets import Sets, plan_asr, plan_duplex, plan_tts, speakable
from mini_sources import missing_voices, recorded_sources, spoken_sources
from real_speech import read_prompts, write_real_speech

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.kaldi_dir import write_sources, write_spoken_set
from freeze_omni.data.questions import Question, write_questions
from freeze_omni.data.tables import TableError, write_lines
from freeze_omni.data.tts.backends import TtsError, Voice
from freeze_omni.data.tts.synthesize import TtsFolders, available_voices, default_cache, synthesize
from freeze_omni.dialogues.answers import AnswerConfig, LlmAnswer, answer_questions

HERE = Path(__file__).parent


def main(arguments: list[str]) -> None:
    args = parse(arguments)
    scale = HERE / "scales" / f"{args.scale}.yaml"
    config = build(MiniConfig, read_yaml(scale), str(scale))
    config = replace(config, open=config.open.at(args.open_share))
    outside = read_outside(args.held_out)
    voices = available_voices(TtsFolders())
    if "kokoro" not in voices:
        raise TtsError("no kokoro voices; run tools/installers/get_kokoro.sh")
    sentences = make_sentences(HERE / "facts", config)
    llm = functools.partial(ask_llm, args.llm)
    answers = timed("the LLM's answers", ask, sentences, config, llm)
    sets = plan_tts(sentences, answers, config)
    sets |= plan_asr(sentences, answers, voices, config)
    sets |= plan_duplex(sentences, voices, config)
    if Voice.parse(config.tts.voice).speaker != Voice.parse(config.unseen).speaker:
        sets["asr_train"] += sets["tts_train"]  # one more voice for speech input, already paid for
    sets["tts_train"] += sets.pop("tts_words", [])  # after that: one voice among many is not to have a third of them
    questions = dict(sentences.questions)
    if args.open_share:
        add_open_text(sets, questions, answers, sentences, voices, config, args)
    leave_out(HeldOut(outside), sets, questions)
    write_qa(questions, answers, args.data)
    jobs = [job for name in sorted(sets) for job in sets[name]]
    paths = timed("synthesis", synthesize, jobs, TtsFolders(), args.nj)
    sources = missing_voices(config, voices)
    for name, members in sets.items():
        seconds = write_spoken_set(args.data / name, members, paths)
        print(f"{args.data / name}: {len(members)} utterances, {seconds / 60:.1f} min")
        sources += spoken_sources(name, members, paths, voices["kokoro"])
    if args.real_speech:
        dev = config.open.real_dev if args.open_share else 0
        write_real_speech(args.real_speech, args.data, config.asr.real_train, config.asr.real_test, dev)
    else:
        print("no recorded prompts: asr_real_train and asr_test_real are left out")
    sources += recorded_sources(args.data, wanted=args.real_speech is not None, dev=bool(args.open_share))
    write_sources(args.data, sorted(sources, key=lambda one: one.set))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="mini", choices=["tiny", "mini", "base"])
    parser.add_argument("--nj", type=int, default=2, help="synthesis processes")
    parser.add_argument("--llm", required=True, help="folder of the frozen LLM")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the directories go")
    parser.add_argument("--real_speech", type=Path, help="folder of the recorded prompts, if there")
    parser.add_argument("--open_share", type=float, default=0.0, help="share of the open text of the scale (0: none)")
    parser.add_argument("--words", type=Path, help="folder of words.tsv for open text, if there")
    parser.add_argument("--chatterbot", type=Path, help="folder of chatterbot-corpus for open text, if there")
    parser.add_argument(
        "--held_out", type=Path, action="append", default=[], help="published questions that no training text may have"
    )
    return parser.parse_args(arguments)


@functools.cache
def load_llm(folder: str):
    from freeze_omni.llm.frozen import FrozenLLM  # here: synthesis processes import this file too

    return FrozenLLM.load(folder, "float32", "cpu")


def ask_llm(folder: str, questions: Sequence[str], config: AnswerConfig) -> dict[str, LlmAnswer]:
    return answer_questions(load_llm(folder), questions, config, default_cache())


def ask(sentences: Sentences, config: MiniConfig, llm: AskLlm) -> dict[str, LlmAnswer]:
    """Answers to the held-out questions and to `asked` training questions, kinds as they come."""
    train = [question.question for question in sentences.questions["train"]]
    random.Random(config.seed).shuffle(train)
    wanted = train[: config.asked]
    for name in ("dev", "test"):
        wanted += [question.question for question in sentences.questions[name]]
    return llm(wanted, config.answers)


def add_open_text(
    sets: Sets,
    questions: dict[str, list[Question]],
    answers: dict[str, LlmAnswer],
    sentences: Sentences,
    voices: dict[str, list[str]],
    config: MiniConfig,
    args: argparse.Namespace,
) -> None:
    """Open text into asr_train, tts_train and qa_train, and two development sets: asr_dev_open and qa_dev_open."""
    held = [*read_outside(args.held_out), *sentences.held_out]
    if args.real_speech:
        held += read_prompts(args.real_speech).values()
    parts = OpenParts(args.words and args.words / "words.tsv", args.chatterbot)
    llm = functools.partial(ask_llm, args.llm)
    texts = timed("open text", open_texts, HERE / "open", parts, config, llm, sentences.train, held)
    asked = texts.train["questions"][: config.open.asked]
    answers |= timed("the LLM's answers to open questions", llm, asked, config.answers)
    asked = [question for question in asked if speakable([question], answers, config)]
    sets["asr_train"] += plan_open_train(texts, asked, voices, config)
    sets["tts_train"] += plan_open_speech(texts, config)
    sets["asr_dev_open"] = plan_open_dev(texts, voices, TtsFolders().of("kokoro"), config)
    questions["train"] = questions["train"] + train_questions(asked)
    questions["dev_open"] = texts.qa_dev


def leave_out(held: HeldOut, sets: Sets, questions: dict[str, list[Question]]) -> None:
    """Drop what training has of `held`, the questions of published test sets."""
    for name in ("asr_train", "tts_train", "duplex_train"):
        kept = held.apart(sets[name], lambda job: job.text)
        if len(kept) < len(sets[name]):
            print(f"{name}: {len(sets[name]) - len(kept)} utterances are left out: a published test set asks them")
        sets[name] = kept
    questions["train"] = held.apart(questions["train"], lambda question: question.question)


def write_qa(questions_of: dict[str, list[Question]], answers: dict[str, LlmAnswer], data: Path) -> None:
    """data/qa_*/questions.jsonl, and answers.jsonl with what the LLM said to those it was asked."""
    for name, questions in questions_of.items():
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
