"""Stage 11: originals and the codec's copies of them."""

from __future__ import annotations

from freeze_omni.eval.decode import codec, options


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "Kaldi directory (24 kHz wav.scp, text) or dialogue set (answer_wav.scp, answer)")
    options.run(codec.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
