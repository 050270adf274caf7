"""Stage 11: answers to spoken questions, and to the same questions as text."""

from __future__ import annotations

from freeze_omni.eval.decode import options, qa


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "dialogue set: wav.scp (16 kHz), text, answer, questions.jsonl")
    options.run(qa.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
