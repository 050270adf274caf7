"""Answers of stage 4 from a file: rows with the id or the text of a question, read as outputs of any system are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from freeze_omni.config import one_line
from freeze_omni.data.rows import read_rows
from freeze_omni.data.tables import TableError, write_jsonl
from freeze_omni.dialogues.answers import AnswerConfig, Answers, Ask, Asked, LlmAnswer, as_used
from freeze_omni.eval.fields import ID, Fields, texts_of

OPTION = "--answers_field"
_FINISH = "finish_reason"  # OpenAI's name: `length` for an answer that a limit has cut
_ENDED = "ended"  # ours, in the cache of answers
_QUESTION = "question"


def read_answers(path: Path, fields: Fields) -> dict[str, LlmAnswer]:
    """Answers by a question's id or text; rows whose answer is null are left out. Raises TableError."""
    rows = list(read_rows(path))
    if not rows:
        raise TableError(f"{path}: no row in it; give one for each question")
    names = {name for _, row in rows for name in row}
    if not fields.id and not names & set(ID) and _QUESTION in names:
        fields = replace(fields, id=_QUESTION)
    said = [(where, {k: v for k, v in row.items() if k not in (_FINISH, _ENDED)}) for where, row in rows]
    ends = [(where, {**row, _FINISH: _finish(row)}) for where, row in rows]
    texts = texts_of(path, said, fields, ())
    finish = texts_of(path, ends, replace(fields, output=_FINISH), ())
    return {key.strip(): LlmAnswer(text.strip(), finish[key] != "length") for key, text in texts.items()}


def _finish(row: Mapping[str, object]) -> str:
    return str(row.get(_FINISH) or ("stop" if row.get(_ENDED, True) else "length"))


def ask_file(path: Path, fields: Fields, config: AnswerConfig, unanswered: Path | None = None) -> Ask:
    """Looks answers up. Raises TableError for a question without one, unless it is to be left out.

    unanswered: file for what is left out, a row with its reason each. A later round is found by its id alone
    (`<id>-round2`): its text is another question after other words.
    """
    found = read_answers(path, fields)
    left_out: list[dict[str, object]] = []

    def ask(asked: Sequence[Asked]) -> Answers:
        _check_ids(path, asked, found)
        answers = {one: as_used(found[key], config) for one in asked if (key := _key(one, found)) is not None}
        if missing := [one for one in asked if one not in answers]:
            first, count = missing[0], f"{len(missing)} of {len(asked)} questions"
            told = f"{path}: no answer to {''.join(first.ids[:1])} ('{one_line(first.question)}'), {count} in all"
            if unanswered is None:
                raise TableError(f"{told}; add them, or leave such questions out with --answers_missing skip")
            reason = f"no answer in {path.name}"
            left_out.extend({"id": "".join(one.ids[:1]), _QUESTION: one.question, "reason": reason} for one in missing)
            write_jsonl(unanswered, left_out)
            print(f"{told}: left out, see {unanswered}", flush=True)
        return answers

    return ask


def _key(one: Asked, found: Mapping[str, LlmAnswer]) -> str | None:
    """What names the question in the file: an id, or the text of a first question."""
    names = one.ids if one.history else (*one.ids, one.question.strip())
    return next((name for name in names if name in found), None)


def _check_ids(path: Path, asked: Sequence[Asked], found: Mapping[str, LlmAnswer]) -> None:
    texts: dict[str, str] = {}
    for one in asked:
        for key in one.ids:
            if key in found and texts.setdefault(key, one.question) != one.question:
                raise TableError(f"{path}: {key} is the id of several questions; give their texts as `{_QUESTION}`")
