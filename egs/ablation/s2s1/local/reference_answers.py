"""Write the questions' reference answers as `answer`, in place of the LLM's own: SOURCE (a dialogue set) TARGET."""

from __future__ import annotations

import sys
from pathlib import Path

from freeze_omni.data.tables import TableError, write_table
from freeze_omni.eval.sets import question_answers
from freeze_omni.speech_decoder.normalise import spoken_english


def main(source: Path, target: Path) -> None:
    """The first reference of each turn, with numbers in words, as the LLM's own answers are. Raises TableError."""
    answers = question_answers(source)
    write_table(target / "answer", {key: " ".join(spoken_english(texts[0]).split()) for key, texts in answers.items()})
    print(f"{target}: {len(answers)} reference answers")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except TableError as error:
        sys.exit(f"reference_answers: error: {error}")
