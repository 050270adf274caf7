"""Stage 11: transcripts of a test set at several chunk sizes."""

from __future__ import annotations

from freeze_omni.eval.decode import asr, options


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "Kaldi directory with wav.scp (16 kHz) and text")
    options.run(asr.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
