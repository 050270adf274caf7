"""Stage 11: state decisions on duplex scenes, streamed."""

from __future__ import annotations

from freeze_omni.eval.decode import options, states


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = options.parser(__doc__, "dialogue set: wav.scp (16 kHz), states, scene")
    options.run(states.decode, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
