"""Stage 11: decode test sets with one model, resuming where an earlier run stopped.

    python -m freeze_omni.bin.decode qa --model exp/pack --data dump/dialogue/test --output exp/decode/qa
    python -m freeze_omni.bin.decode all --model exp/pack --root exp/decode --asr dump/raw/test --qa dump/dialogue/test
    freeze-omni decode (...)                 the same as `all`

A subject alone reads --data and writes --output. `all` decodes every subject whose set is given, loads the model once,
and writes ROOT/asr_<set>, ROOT/qa, ROOT/qa_<set>, ROOT/states, ROOT/latency, ROOT/latency_<set>, ROOT/codec,
ROOT/tts, ROOT/duplex.
"""

import argparse
import sys
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, add_part, device_of, one_part
from freeze_omni.eval import codec
from freeze_omni.eval.config import read_config
from freeze_omni.eval.runner import DecodeJob
from freeze_omni.eval.subjects import DECODERS

DATA = {
    "asr": "Kaldi directory: wav.scp (16 kHz), text",
    "qa": "dialogue set: wav.scp (16 kHz), text, answer, questions.jsonl",
    "states": "dialogue set: wav.scp (16 kHz), states, scene",
    "codec": "Kaldi directory (24 kHz wav.scp, text) or dialogue set (answer_wav.scp, answer)",
    "tts": "dialogue set (text, answer) or Kaldi directory (text)",
    "latency": "dialogue set: wav.scp (16 kHz), answer, or text where all are questions",
    "duplex": "scripted scenes (freeze-omni duplex-scenes)",
}


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    subject = arguments[0] if arguments and not arguments[0].startswith("-") else "all"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="?", default="all", choices=(*DECODERS, "all"))
    parser.add_argument("--model", required=True, type=Path, help="packed model: a folder or a hub id")
    if subject in DECODERS:
        parser.add_argument("--data", required=True, type=Path, help=DATA[subject])
        parser.add_argument("--output", required=True, type=Path, help="decoding folder")
    else:
        parser.add_argument("--root", required=True, type=Path, help="folder of the decoding folders")
        parser.add_argument("--asr", nargs="*", default=[], type=Path, help=DATA["asr"])
        parser.add_argument("--qa", type=Path, help=f"{DATA['qa']}; also for latency")
        further = "further sets of spoken questions, each decoded to ROOT/qa_<set>"
        parser.add_argument("--questions", nargs="*", default=[], type=Path, help=further)
        streamed = "sets of spoken questions whose answers are streamed, each to ROOT/latency_<set>"
        parser.add_argument("--streamed", nargs="*", default=[], type=Path, help=streamed)
        parser.add_argument("--scenes", type=Path, help=f"states: {DATA['states']}")
        parser.add_argument("--duplex", type=Path, help=DATA["duplex"])
        parser.add_argument("--tts", type=Path, help=DATA["tts"])
        parser.add_argument("--copies", type=Path, help="originals that the codec copies; default: those of --tts")
        parser.add_argument("--only", nargs="+", choices=DECODERS, default=[*DECODERS], help="decode these subjects")
    judge = "CTranslate2 Whisper folder: also the same LLM's answers to what it hears in the questions"
    parser.add_argument("--judge", type=Path, help=judge)
    cascade = "also the same LLM's answers to the CTC head's transcripts of the questions, typed"
    parser.add_argument("--cascade", action="store_true", help=cascade)
    parser.add_argument("--config", type=Path, help="decode.yaml; without it, its defaults")
    parser.add_argument("--seed", type=int, default=777, help="seed of all sampling")
    add_device(parser)
    add_part(parser)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    decode(parser.parse_args(arguments))


@user_errors(name="decode")
def decode(args: argparse.Namespace) -> None:
    """One subject, or all whose set is given; of an array of jobs this part, and what is timed without any."""
    args.device = device_of(args.device, args.part)
    if args.subject != "all":
        jobs = [(args.subject, args.data, args.output)]
    else:
        sets = {
            "qa": args.qa,
            "states": args.scenes,
            "codec": args.copies or (args.tts and codec.originals(args.tts)),
            "tts": args.tts,
            "latency": args.qa,
            "duplex": args.duplex,
        }
        jobs = [("asr", data, args.root / f"asr_{data.name}") for data in args.asr]
        jobs += [(name, data, args.root / name) for name, data in sets.items() if data is not None]
        jobs += [("qa", data, args.root / f"qa_{data.name}") for data in args.questions]
        jobs += [("latency", data, args.root / f"latency_{data.name}") for data in args.streamed]
        jobs = [job for job in jobs if job[0] in args.only]
    config = read_config(args.config)
    for name, data, output in jobs:
        with one_part():
            DECODERS[name].decode(DecodeJob.of(args, config, output, data))


if __name__ == "__main__":
    main()
