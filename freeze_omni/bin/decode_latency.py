"""Stage 11: timed sessions, for the latency table."""

from __future__ import annotations

from freeze_omni.eval.decode import latency, options


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "dialogue set: wav.scp (16 kHz), answer")
    options.run(latency.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
