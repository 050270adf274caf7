"""Score one test set: a packed model, or a folder of another system's outputs. Prints a table, writes JSON beside it.

    freeze-omni eval asr     --data data/test_clean --model exp/pack
    freeze-omni eval asr     --data data/test_clean --model exp/1.1_encoder/X.pth --units data/token_list
    freeze-omni eval asr     --data data/test_clean --model exp/1.2_adapter_conv/X.pth --units data/token_list --llm LLM
    freeze-omni eval asr     --data data/test_clean --outputs their/hypotheses
    freeze-omni eval qa      --data web_questions.json --outputs their/answers.jsonl --text_outputs llm/answers.jsonl
    freeze-omni eval tts     --data data/test --outputs their/wavs --judge whisper
    freeze-omni eval tts     --data data/test --model exp/2.2_speech_decoder/X.pth --codec exp/2.1_codec/X.pth \
                             --llm LLM --voice someone.wav --judge whisper
    freeze-omni eval duplex  --data dump/dialogue/duplex_test --outputs their/wavs_in_time
    freeze-omni eval duplex  --scenes scenes --model exp/pack        (or --server ws://127.0.0.1:8765)
    freeze-omni eval latency --data dump/dialogue/test --model exp/pack

All of the set is scored: no cap on utterances, and none on the length of an answer but --max_new_tokens.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from pathlib import Path

import yaml

from freeze_omni.config import ConfigError, read_yaml
from freeze_omni.data.tables import write_lines
from freeze_omni.eval.decode.options import run
from freeze_omni.eval.normalise import NORMALISERS

TASKS = ("asr", "tts", "qa", "duplex", "latency")
_ALL = 10**9


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where something cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    tests = parser.add_mutually_exclusive_group(required=True)
    tests.add_argument("--data", type=Path, help="test set: a data directory; qa: a file of questions too")
    tests.add_argument("--scenes", type=Path, help="duplex: scenes of freeze-omni duplex-scenes")
    system = parser.add_mutually_exclusive_group(required=True)
    system.add_argument(
        "--model", type=Path, help="packed model folder, or a checkpoint; asr: of 1.1 or 1.2, tts: of 2.1 or 2.2"
    )
    system.add_argument("--outputs", type=Path, help="what another system wrote; docs/evaluation.md has the forms")
    system.add_argument("--server", help="duplex --scenes: a Realtime server, played to in real time")
    parser.add_argument("--api_key", default=os.environ.get("FREEZE_OMNI_API_KEY", ""), help="of the server")
    parser.add_argument("--ca", type=Path, help="certificate of the server to trust, such as a self-made one")
    parser.add_argument("--text_outputs", type=Path, help="qa: answers of its LLM to the questions as text")
    parser.add_argument("--units", type=Path, help="asr with a checkpoint: folder of the CTC units")
    parser.add_argument("--llm", type=Path, help="with a checkpoint of 1.2 or 2.2: folder or hub id of the LLM")
    parser.add_argument("--codec", type=Path, help="tts with a checkpoint of 2.2: that of 2.1")
    parser.add_argument("--voice", type=Path, help="tts with a checkpoint of 2.2: sound file of the voice")
    parser.add_argument("--set", default="", help="name of the test set, by which the paper's figures are found")
    parser.add_argument("--normaliser", choices=sorted(NORMALISERS), default="english")
    parser.add_argument("--judge", type=Path, help="tts, duplex --scenes: CTranslate2 Whisper folder")
    parser.add_argument("--language", default="en", help="language of the judge")
    parser.add_argument("--max_new_tokens", type=int, default=512, help="longest text of the LLM")
    parser.add_argument("--config", type=Path, help="decode.yaml: its settings, but the whole set")
    parser.add_argument("--output", type=Path, default=Path("exp/eval"), help="folder of decodings and figures")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    run(evaluate, parser.parse_args(arguments))


def evaluate(args: argparse.Namespace) -> None:
    """Decode if need be, score, print, write."""
    started_s = time.time()
    if args.task != "duplex" and (args.scenes or args.server) or args.server and not args.scenes:
        raise ConfigError("--scenes is for the task duplex, and --server for --scenes")
    args.output.mkdir(parents=True, exist_ok=True)
    args.config = whole_set(args)
    try:
        report = importlib.import_module(f"freeze_omni.eval.evaluate.{args.task}").evaluate(args)
    except ValueError as error:
        raise SystemExit(f"eval: error: {error}") from None
    print("\n".join(report.lines()))
    name = "_".join(filter(None, (args.task, args.set or (args.data or args.scenes).stem)))
    report.write(args.output, name, started_s, args.seed)


def whole_set(args: argparse.Namespace) -> Path:
    """A copy of the configuration without its limits on how much is decoded."""
    content = {} if args.config is None else read_yaml(args.config)
    limits = {
        "asr": {"utterances": _ALL, "llm_max_tokens": args.max_new_tokens},
        "qa": {"questions": _ALL, "max_new_tokens": args.max_new_tokens},
        "tts": {"sentences": _ALL},
        "codec": {"utterances": _ALL},
        "states": {"scenes": _ALL},
        "latency": {"questions": _ALL},
        "duplex": {"max_new_tokens": args.max_new_tokens},
    }
    for part, limit in limits.items():
        content[part] = {**(content.get(part) or {}), **limit}
    path = args.output / "decode.yaml"
    write_lines(path, [yaml.safe_dump(content)])
    return path


if __name__ == "__main__":
    main()
