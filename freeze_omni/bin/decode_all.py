"""Stage 11 in one process: everything that one packed model is scored by, into one root folder.

Writes ROOT/asr_<set>, ROOT/qa, ROOT/states, ROOT/latency, ROOT/codec, ROOT/tts, ROOT/duplex for the sets that are
given; finished work is not done again. The model is loaded once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from freeze_omni.eval.decode import asr, codec, duplex, latency, options, qa, states, tts

SUBJECTS = ("asr", "qa", "states", "codec", "tts", "latency", "duplex")


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where model, data or config cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="packed model folder")
    parser.add_argument("--root", required=True, type=Path, help="where the decoding folders go")
    parser.add_argument("--config", type=Path, help="decode.yaml; without it, its defaults")
    parser.add_argument("--asr", nargs="*", default=[], type=Path, help="Kaldi directories (16 kHz)")
    parser.add_argument("--qa", type=Path, help="dialogue set of test questions; latency too")
    parser.add_argument("--scenes", type=Path, help="dialogue set of duplex scenes")
    parser.add_argument("--duplex", type=Path, help="scripted two-voice scenes (freeze-omni duplex-scenes)")
    parser.add_argument("--tts", type=Path, help="dialogue set (answers are spoken) or Kaldi directory")
    parser.add_argument("--copies", type=Path, help="originals that the codec copies; those of --tts by default")
    parser.add_argument("--only", nargs="+", default=SUBJECTS, choices=SUBJECTS, help="decode these subjects")
    parser.add_argument("--seed", type=int, default=777, help="seed of all sampling")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    options.run(decode, parser.parse_args(arguments))


def decode(chosen: argparse.Namespace) -> None:
    """Every decoder whose set is given."""
    jobs = [(asr.decode, data, f"asr_{data.name}") for data in chosen.asr]
    jobs += [
        (qa.decode, chosen.qa, "qa"),
        (states.decode, chosen.scenes, "states"),
        (codec.decode, chosen.copies or (chosen.tts and codec.originals(chosen.tts)), "codec"),
        (tts.decode, chosen.tts, "tts"),
        (latency.decode, chosen.qa, "latency"),
        (duplex.decode, chosen.duplex, "duplex"),
    ]
    for decoder, data, name in jobs:
        if data is not None and name.split("_")[0] in chosen.only:
            decoder(argparse.Namespace(**vars(chosen) | {"data": data, "output": chosen.root / name}))


if __name__ == "__main__":
    main()
