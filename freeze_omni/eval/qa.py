"""Spoken question answering: answers to spoken questions, and to the same questions as text by the same LLM.

`answer` follows the whole question, as the paper measures it. `answer_own` follows what the model had heard when its
own state head ended the turn; empty if it never did. A later round of a dialogue is asked after the reference answers
of the earlier ones, so that rounds do not depend on each other.

`answer_judged`, with a judge, is the same LLM's answer to what the judge hears in the same sound: what a user could
build instead, from a recogniser and an LLM. `answer_cascade`, if asked for, is its answer to the CTC head's transcript.

An answer is right if one of the reference answers occurs in it as a run of whole words, both normalised, without an
article before the reference. This is the rule of Web Questions and Trivia QA for generative models, as in the paper.
"""

import argparse
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freeze_omni.config import ConfigError
from freeze_omni.data.questions import read_published
from freeze_omni.data.tables import read_table
from freeze_omni.eval import paper
from freeze_omni.eval.batch import (
    closed_turns,
    context,
    decoded,
    greedy_answers,
    hear,
    read_turns,
    state_probabilities,
    texts,
)
from freeze_omni.eval.bootstrap import mean_of, ratio_interval
from freeze_omni.eval.config import DecodeConfig, QaDecodeConfig, ScoreConfig
from freeze_omni.eval.judge import judged_sounds
from freeze_omni.eval.outputs import match, read_texts
from freeze_omni.eval.report import MISSING, Found, Report, Section, mean, number, rate, share, table
from freeze_omni.eval.runner import DecodeJob, Units, data_of, read_records
from freeze_omni.eval.sets import (
    Outside,
    asked,
    length_batches,
    question_answers,
    read_histories,
    sound_batches,
    whole_dialogues,
)
from freeze_omni.eval.wer import error_rate, normaliser
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.order import Rounds
from freeze_omni.session.events import ANSWER, NO_ANSWER
from freeze_omni.session.reducer import decide

Asked = Mapping[str, Mapping[str, Any]]
References = Mapping[str, Sequence[str]]
_WAYS = {"spoken": "answer", "own": "answer_own", "text": "answer_text", "judged": "answer_judged"}
_WAYS["cascade"] = "answer_cascade"
_ARTICLE = re.compile(r"^(the|a|an) (?=\S)")


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write records.jsonl and `text`, the answers to the whole questions. Later rounds need `history`."""
    config = job.config.qa
    table, questions = read_table(job.data / "wav.scp"), read_table(job.data / "text", need_value=False)
    histories, outside = read_histories(job.data), Outside.of(job.data)
    keys = whole_dialogues(asked(job.data), histories, len(table) if outside else config.questions)
    heard = judged_sounds(job, {key: table[key] for key in keys})

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        tail_s = outside.tail_s if outside else 0.0
        for batch, sounds in sound_batches(table, todo, model.rates.input_hz, tail_s):
            rounds = [histories.get(key, ()) for key in batch]
            rows = answer(model, sounds, [questions[key] for key in batch], rounds, config)
            if job.cascade and model.transcribes:
                typed = typed_answers(model, rows, [questions[key] for key in batch], rounds, config)
                for row, reply in zip(rows, typed, strict=True):
                    row["answer_cascade"] = reply
            if heard:
                judged = [heard[key] for key in batch]
                said = written_answers(model, judged, rounds, config)
                for row, text, reply in zip(rows, judged, said, strict=True):
                    row |= {"judged": text, "answer_judged": reply}
            yield [
                {"id": key, "round": len(before) + 1, "question": questions[key], **row}
                for key, before, row in zip(batch, rounds, rows, strict=True)
            ]

    batches = length_batches(table, keys, config.batch)
    made_from = (config, outside, job.judge and job.judge.name, *(["cascade"] if job.cascade else []))
    records = job.run("qa", batches, made_from, work)
    job.finish({key: record["answer"] for key, record in records.items()})
    return records


@torch.no_grad()
def answer(
    model: Any, sounds: Sequence[np.ndarray], questions: Sequence[str], rounds: Sequence[Rounds], config: QaDecodeConfig
) -> list[dict[str, Any]]:
    """transcript, answer, answer_own, answer_text, and the chunk of the decision, for each question (S,)."""
    heard, contexts = hear(model, sounds), [context(model, before) for before in rounds]
    adapted, order = heard.adapted, model.llm.order
    read = read_turns(model, heard, contexts)
    above = model.config.no_answer_above
    decisions = [first_answer(row, above) for row in state_probabilities(model, heard, read)]
    rows, last, own = [], [], []
    for index, chunk in enumerate(decisions):
        sizes = [int(adapted.lengths[index])]
        if chunk is not None:
            sizes.append(int(adapted.ends[index, chunk]))
        for size in dict.fromkeys(sizes):
            rows.append(order.spoken_turn(contexts[index], adapted.embeds[index, :size]))
            last.append(read.last(index, size))
        # the same positions give the same answer: read once
        own.append((len(rows) - len(set(sizes)), len(rows) - 1))
    closed = closed_turns(model, rows, last)
    answers = [decoded(model.llm, ids) for ids in greedy_answers(model.llm, closed, config.max_new_tokens)]
    written = written_answers(model, questions, rounds, config)
    return [
        {
            "transcript": transcript,
            "answer": answers[whole],
            "answer_own": "" if chunk is None else answers[early],
            "answer_text": reply,
            "decision_chunk": chunk,
        }
        for transcript, (whole, early), reply, chunk in zip(texts(model, heard), own, written, decisions, strict=True)
    ]


def written_answers(model: Any, texts: Sequence[str], rounds: Sequence[Rounds], config: QaDecodeConfig) -> list[str]:
    """The LLM's own answers to written questions."""
    order = model.llm.order
    prompts = [
        order.before_answer(model.system_prompt, before, text) for before, text in zip(rounds, texts, strict=True)
    ]
    replies = generate_batch(model.llm, prompts, GenerationConfig(config.max_new_tokens))
    return [decoded(model.llm, reply.ids) for reply in replies]


def typed_answers(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    questions: Sequence[str],
    rounds: Sequence[Rounds],
    config: QaDecodeConfig,
) -> list[str]:
    """The LLM's answers to the transcripts of `answer` in its place; one that is the question itself has its answer."""
    other = [index for index, row in enumerate(rows) if row["transcript"] != questions[index]]
    said = [rows[index]["transcript"] for index in other]
    replies = dict(zip(other, written_answers(model, said, [rounds[i] for i in other], config), strict=True))
    return [replies.get(index, row["answer_text"]) for index, row in enumerate(rows)]


def first_answer(probabilities: Sequence[Sequence[float]], no_answer_above: float = 0.5) -> int | None:
    """The first chunk that decides 1; None if 2 comes first, or neither."""
    for chunk, said in enumerate(probabilities):
        state = decide(tuple(said), no_answer_above=no_answer_above)
        if state in (ANSWER, NO_ANSWER):
            return chunk if state == ANSWER else None
    return None


def is_right(answer: str, references: Sequence[str], normalise: str = "english") -> bool:
    """Whether the answer contains any of the references, word for word."""
    return _contains(normaliser(normalise)(answer), _wanted(references, normalise))


def _wanted(references: Sequence[str], normalise: str) -> list[str]:
    """References as they are looked for."""
    clean = normaliser(normalise)
    return [text for text in (_ARTICLE.sub("", clean(reference)) for reference in references) if text]


def _contains(said: str, wanted: Sequence[str]) -> bool:
    return any(f" {text} " in f" {said} " for text in wanted)


def best_constant(references: References, normalise: str = "english") -> str:
    """The one reference answer that is right for the most questions: what a system without ears could say."""
    wanted = {key: _wanted(texts, normalise) for key, texts in references.items()}
    candidates = dict.fromkeys(text for texts in wanted.values() for text in texts)
    return max(candidates, key=lambda said: sum(_contains(said, texts) for texts in wanted.values()), default="")


def accuracy(answers: Mapping[str, str], references: References, normalise: str = "english") -> dict[str, Any]:
    """Share of right answers (none is a wrong one), with its interval. Raises ValueError without reference answers."""
    if not references:
        raise ValueError("no questions to score")
    if bare := [key for key, texts in references.items() if not any(texts)]:
        raise ValueError(f"question '{bare[0]}' has no reference answer; leave it out of the test set")
    right = {key: is_right(answers.get(key, ""), texts, normalise) for key, texts in references.items()}
    low, high = ratio_interval([float(hit) for hit in right.values()])
    return {
        "accuracy": sum(right.values()) / len(right),
        "low": low,
        "high": high,
        "questions": len(right),
        "answered": sum(bool(answers.get(key, "").strip()) for key in references),
        "wrong": [key for key, hit in right.items() if not hit],
    }


def score_rounds(records: Asked, references: References, normalise: str) -> dict[str, Any]:
    """`score_records` of all questions and, under `rounds`, of each round if there are several; nothing of nothing."""
    figures = score_records(records, references, normalise) if records else {}
    rounds = sorted({record.get("round", 1) for record in records.values()})
    for round_ in rounds if rounds != [1] else ():
        own = {key: record for key, record in records.items() if record.get("round", 1) == round_}
        figures.setdefault("rounds", {})[str(round_)] = score_records(own, references, normalise)
    return figures


def score_records(records: Asked, references: References, normalise: str) -> dict[str, Any]:
    """Figures of questions asked in speech (whole, and up to the model's own end of turn) and in text.

    spoken, own, text, judged, cascade: accuracies, if there are reference answers. ratio: of spoken over text; ratios:
    of the others, too, with intervals. constant, echo: accuracy of the one best answer to all, and of the question
    itself. as_text: error rate of the spoken questions' answers against the LLM's answers to the text; heard_as_text:
    where the transcript has no error. transcript: that of what was heard, judged_transcript: by the judge. ended: by
    the model's state 1.
    """
    ended = sum(record["decision_chunk"] is not None for record in records.values())
    figures: dict[str, Any] = {"questions": len(records), "ended": ended}
    known = {key: references[key] for key in records if references.get(key)}
    judged = all("judged" in record for record in records.values())
    if known:
        ways = {way: field for way, field in _WAYS.items() if all(field in record for record in records.values())}
        for name, field in ways.items():
            figures[name] = accuracy({key: records[key][field] for key in known}, known, normalise)
        hits = {name: [key not in figures[name]["wrong"] for key in known] for name in _WAYS if name in figures}
        figures["ratios"] = {name: mean_of(own, hits["text"]) for name, own in hits.items() if name != "text"}
        figures["ratio"] = figures["ratios"]["spoken"]["mean"]
        always = best_constant(known, normalise)
        figures["constant"] = accuracy(dict.fromkeys(known, always), known, normalise) | {"answer": always}
        figures["echo"] = accuracy({key: records[key]["question"] for key in known}, known, normalise)
    rates = [("as_text", "answer_text", "answer"), ("transcript", "question", "transcript")]
    for name, reference, said in [*rates, *([("judged_transcript", "question", "judged")] if judged else [])]:
        texts = {key: record[reference] for key, record in records.items()}
        found = {key: record[said] for key, record in records.items()}
        rate = error_rate(texts, found, normalise).as_dict()
        figures[name] = rate if rate["words"] else None
    clean = normaliser(normalise)
    same = [key for key, record in records.items() if clean(record["transcript"]) == clean(record["question"])]
    texts, found = ({key: records[key][field] for key in same} for field in ("answer_text", "answer"))
    rate = error_rate(texts, found, normalise).as_dict() if any(map(clean, texts.values())) else None
    figures["heard_as_text"] = rate and rate | {"heard": len(same)}
    return figures


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    """Answers to spoken and written questions, in all and by round; sets: the same of sets decoded to qa_<set>."""
    figures = score_set(root / "qa", config.score)
    further = [path.parent for path in sorted(root.glob("qa_*/decode.json"))]
    found = {folder.name.removeprefix("qa_"): score_set(folder, config.score) for folder in further}
    return {"qa": figures | ({"sets": found} if found else {})}


def score_set(folder: Path, config: ScoreConfig) -> dict[str, Any]:
    """Figures of one decoding folder, its `set`, and where its `sound` is from if it was made elsewhere."""
    data = data_of(folder)
    normalise = config.of(data.name).normaliser
    figures = score_rounds(read_records(folder / "records.jsonl"), question_answers(data), normalise)
    outside = Outside.of(data)
    made = {"sound": outside.sound, "left_out": len(outside.left_out)} if outside else {}
    return {"set": data.name, **figures, **made} if figures else {}


def _own_rows(models: Found) -> list[str]:
    by_round = []
    for model, qa in models:
        rounds = qa.get("rounds", {})
        if rounds or "spoken" not in qa:  # of dialogues, whose questions may have no reference answers
            for name, one in {**rounds, "all": qa}.items():
                cells = [share(one.get(way), "accuracy") for way in ("spoken", "text")]
                ended = f"{one['ended']} of {one['questions']}"
                by_round.append([model, name, *cells, rate(one["as_text"]), rate(one["transcript"]), ended])
    kinds = [
        [model, one.get("set", MISSING), *_kinds(one)]
        for model, qa in models
        for one in (qa, *qa.get("sets", {}).values())
        if "echo" in one
    ]
    more = ["model", "round", "spoken", "LLM on text", "WER of spoken against LLM on text", "WER of the questions"]
    beside = [
        "model",
        "test set",
        "WER of the answers to speech against the LLM's to the text",
        "questions heard without an error",
    ]
    return [
        *_set_rows(models, outside=False),
        *table([*beside, "the best one answer to all, right", "the question as its answer, right"], kinds),
        *table([*more, "ended by state 1"], by_round),
    ]


def _kinds(one: Mapping[str, Any]) -> list[str]:
    """How far answers depend on hearing, and what a system without ears would reach."""
    heard = one["heard_as_text"]
    return [
        rate(heard),
        f"{heard['heard'] if heard else 0} of {one['questions']}",
        f"{share(one['constant'], 'accuracy')} ({one['constant']['answer']})",
        share(one["echo"], "accuracy"),
    ]


def _outside_rows(models: Found) -> list[str]:
    """The same table of the sets that were made elsewhere, and what was left out of them."""
    found = [(name, one) for _, qa in models for name, one in qa.get("sets", {}).items() if one.get("left_out")]
    notes = [f"- {name}, left out as they are in training texts: {one['left_out']} questions" for name, one in found]
    return [*_set_rows(models, outside=True), *dict.fromkeys(notes), *([""] if notes else [])]


def _set_rows(models: Found, outside: bool) -> list[str]:
    """One row for each model and set; after it those of the same LLM on the judge's transcript, and on the CTC head's,
    if there are such answers."""
    rows = []
    for model, qa in models:
        for one in (qa, *qa.get("sets", {}).values()):
            if ("sound" in one) is not outside or "spoken" not in one:
                continue
            name = ", ".join(filter(None, (one.get("set", MISSING), one.get("sound"))))
            accuracies = [share(one[way], "accuracy") for way in ("spoken", "own", "text")]
            rows.append([model, name, *accuracies, _ratio(one, "spoken"), _ratio(one, "own"), rate(one["transcript"])])
            if "judged" in one:
                cells = [share(one["judged"], "accuracy"), MISSING, share(one["text"], "accuracy")]
                cells += [_ratio(one, "judged"), MISSING, rate(one["judged_transcript"])]
                rows.append([f"{model}: {CEILING}", name, *cells])
            if "cascade" in one:
                cells = [share(one["cascade"], "accuracy"), MISSING, share(one["text"], "accuracy")]
                cells += [_ratio(one, "cascade"), MISSING, rate(one["transcript"])]
                rows.append([f"{model}: {CASCADE}", name, *cells])
    head = ["model", "test set", "spoken", "spoken, ended by its own state 1", "LLM on text", "ratio"]
    return table([*head, "ratio, ended by its own state 1", "WER of the questions"], rows)


def _ratio(figures: Mapping[str, Any], way: str) -> str:
    """`0.842 (0.744-0.930)`; of results without intervals the figure alone."""
    found = figures.get("ratios", {}).get(way)
    if found is None or found["mean"] is None:
        return number(figures["ratio"], 3) if way == "spoken" else MISSING
    return mean(found, 3)


_PAPER = "Web Questions 44.73 spoken, 45.13 its LLM on text; Llama Questions 72 and 77.67"
SECTIONS = (
    Section("Spoken question answering: accuracy in percent", "qa", _own_rows),
    Section("Questions that were made elsewhere: accuracy in percent", "qa", _outside_rows, _PAPER),
)
SPOKEN, WRITTEN, CEILING = "spoken", "its LLM on text", "the same LLM on the judge's transcript"
CASCADE = "a cascade: the CTC head's transcript, typed to the same LLM"


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """Rows: accuracy on speech and on text; of a model, of its own end of turn and of each round, too."""
    name = args.set or (args.data.parent.name if args.data.name == "questions.jsonl" else args.data.stem)
    notes: list[str] = []
    if args.model is not None:
        references, found = ask(args, config)
    else:
        asked_for = {question.id: question.answers for question in read_published(args.data)}
        references, found = _answered(asked_for, args.data), {}
        for way, path in {SPOKEN: args.outputs, WRITTEN: args.text_outputs}.items():
            if path is not None:
                answers = read_texts(path, list(asked_for), args.fields if way == SPOKEN else args.text_fields)
                notes += match(references, answers, path)
                found[way] = {key: answers.get(key, "") for key in references}
    figures = {
        way: accuracy(answers, {key: references[key] for key in answers}, args.normaliser)
        for way, answers in found.items()
    }
    theirs = dict(zip((SPOKEN, WRITTEN), paper.QA.get(paper.same_set(name), ()), strict=False))
    words = {way: np.mean([len(text.split()) for text in answers.values()]) for way, answers in found.items()}
    rows = [[way, share(one, "accuracy"), f"{words[way]:.1f}", number(theirs.get(way))] for way, one in figures.items()]
    spoken, text = figures[SPOKEN]["accuracy"], figures.get(WRITTEN, {}).get("accuracy")
    if text:
        notes.append(f"spoken over text: {spoken / text:.3f}")
    notes += ["right: a reference answer occurs in the answer as whole words, both normalised; 95 % bootstrap interval"]
    if args.model is not None:
        notes.append(f"answers are cut after {args.max_new_tokens} tokens (--max_new_tokens)")
    title = f"Spoken question answering, {name}, {len(references)} questions, normaliser {args.normaliser}"
    head = ["", "accuracy %, questions", "words an answer", "paper"]
    return Report(title, head, rows, {"set": name, "normaliser": args.normaliser, "qa": figures}, notes)


def ask(args: argparse.Namespace, config: DecodeConfig) -> tuple[References, dict[str, dict[str, str]]]:
    """The packed model's answers by way and question, after the reference answers. Raises ConfigError."""
    if not (args.data / "wav.scp").is_file():
        fix = "a model hears its questions: speak them (freeze_omni.bin.tts_synthesize)"
        raise ConfigError(f"{args.data}: no wav.scp; {fix}")
    references = _answered(question_answers(args.data), args.data)
    judge = replace(config.score.judge, language=args.language)
    config = replace(config, score=replace(config.score, judge=judge))
    records = decode(DecodeJob.of(args, config, args.output / "qa"))
    records = {key: one for key, one in records.items() if key in references}
    fields = {SPOKEN: "answer", "spoken, ended by its own state 1": "answer_own", WRITTEN: "answer_text"}
    if args.judge is not None:
        fields[CEILING] = "answer_judged"
    found = {way: {key: record[field] for key, record in records.items()} for way, field in fields.items()}
    rounds = sorted({record["round"] for record in records.values()})
    for round_, way in itertools.product(rounds if len(rounds) > 1 else (), (SPOKEN, WRITTEN)):
        own = {key: text for key, text in found[way].items() if records[key]["round"] == round_}
        found[f"{way}, round {round_}"] = own
    return references, found


def _answered(references: References, source: Path) -> References:
    """Those with a reference answer. Raises ConfigError if none has any."""
    known = {key: answers for key, answers in references.items() if answers}
    if not known:
        raise ConfigError(f"{source}: no question in it has a reference answer")
    return known
