"""Stage 11: sentences spoken at every top-k, with and without NAR prefix."""

from __future__ import annotations

from freeze_omni.eval.decode import options, tts


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "dialogue set (text, answer) or Kaldi directory (text)")
    options.run(tts.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
