"""Score one test set: a model, or a folder of another system's outputs. Prints a table, writes it and its JSON.

    freeze-omni eval asr     --data data/test_clean --model exp/pack
    freeze-omni eval asr     --data data/test_clean --model exp/1.1_encoder/X.pth --units data/token_list
    freeze-omni eval asr     --data data/test_clean --model exp/1.2_adapter_conv/X.pth --units data/token_list --llm LLM
    freeze-omni eval asr     --data data/test_clean --outputs their/hypotheses
    freeze-omni eval qa      --data web_questions.json --outputs their/answers.jsonl --text_outputs llm/answers.jsonl
    freeze-omni eval asr     --data data/test_clean --outputs their.jsonl --field output=best id=key
    freeze-omni eval tts     --data data/test --outputs their/wavs --judge whisper
    freeze-omni eval tts     --data data/test --model exp/2.2_speech_decoder/X.pth --codec exp/2.1_codec/X.pth \
                             --llm LLM --voice someone.wav --judge whisper
    freeze-omni eval states  --data dump/dialogue/duplex_test --outputs their/wavs_in_time
    freeze-omni eval duplex  --scenes scenes --model exp/pack        (or --server ws://127.0.0.1:8765)
    freeze-omni eval latency --data dump/dialogue/test --model exp/pack

The whole set is scored; answers are as long as --max_new_tokens. `duplex --data` is the same as `states --data`.
"""

import argparse
import os
import time
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, add_part, device_of, one_part
from freeze_omni.config import ConfigError
from freeze_omni.eval import fields
from freeze_omni.eval.config import read_config
from freeze_omni.eval.subjects import SUBJECTS
from freeze_omni.eval.wer import NORMALISERS
from freeze_omni.llm.source import pinned


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SUBJECTS)
    tests = parser.add_mutually_exclusive_group(required=True)
    tests.add_argument("--data", type=Path, help="test set: a data directory; qa: or a file of questions")
    tests.add_argument("--scenes", type=Path, help="duplex: scenes of freeze-omni duplex-scenes")
    system = parser.add_mutually_exclusive_group(required=True)
    model = "packed model (a folder or a hub id), or a checkpoint; asr: of 1.1 or 1.2, tts: of 2.1 or 2.2"
    system.add_argument("--model", type=Path, help=model)
    system.add_argument("--outputs", type=Path, help="outputs of another system in the forms of docs/evaluation.md")
    server = "duplex --scenes: a Realtime server, played to in real time; another's whole address, with ?model="
    system.add_argument("--server", help=server)
    parser.add_argument("--api_key", default=os.environ.get("FREEZE_OMNI_API_KEY", ""), help="of the server")
    more = "sent to the server, such as its own form of a key; again for more"
    parser.add_argument("--header", type=_header, action="append", default=[], metavar="'NAME: VALUE'", help=more)
    parser.add_argument("--session", type=Path, help="YAML or JSON of what a server's session.update is sent")
    parser.add_argument("--ca", type=Path, help="certificate to trust, such as a self-signed one")
    parser.add_argument("--text_outputs", type=Path, help="qa: answers of its LLM to the questions as text")
    fields.add_options(parser)
    text_field = "the same for --text_outputs"
    parser.add_argument("--text_field", nargs="+", action="extend", default=[], metavar="WHAT=NAME", help=text_field)
    parser.add_argument("--units", type=Path, help="asr with a checkpoint: folder of the CTC units")
    parser.add_argument("--llm", help="with a checkpoint of 1.2 or 2.2: folder or hub id of the LLM")
    parser.add_argument("--llm_revision", help="commit, tag or branch of a hub id")
    parser.add_argument("--codec", type=Path, help="tts with a checkpoint of 2.2: that of 2.1")
    parser.add_argument("--voice", type=Path, help="tts with a checkpoint of 2.2: sound file of the voice")
    parser.add_argument("--set", default="", help="name of the test set, which selects the paper's figures")
    parser.add_argument("--normaliser", choices=sorted(NORMALISERS), help="default: decode.yaml's, english")
    judge = "tts, qa, duplex --scenes: CTranslate2 Whisper, a folder or a hub id"
    parser.add_argument("--judge", type=Path, help=judge)
    parser.add_argument("--language", help="of the judge; default: decode.yaml's, en")
    parser.add_argument("--max_new_tokens", type=int, default=512, help="longest text of the LLM")
    parser.add_argument("--config", type=Path, help="decode.yaml, whose limits on sets are ignored")
    parser.add_argument("--output", type=Path, default=Path("exp/eval"), help="folder of decodings and figures")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    dtype = "with a checkpoint: type of the LLM's weights, float32 or bfloat16; a packed model has its own"
    parser.add_argument("--llm_dtype", default="float32", help=dtype)
    gguf = "with a packed model: GGUF file by which llama.cpp computes the LLM, on a CPU"
    parser.add_argument("--llm_gguf", type=Path, metavar="FILE", help=gguf)
    add_device(parser)
    add_part(parser)
    evaluate(parser.parse_args(arguments))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is 'NAME: VALUE'")
    return name.strip(), value.strip()


@user_errors(ValueError, name="eval")
def evaluate(args: argparse.Namespace) -> None:
    """Decode if needed, score, print, write."""
    started_s = time.time()
    args.device = device_of(args.device, args.part)
    if args.task != "duplex" and (args.scenes or args.server) or args.server and not args.scenes:
        raise ConfigError("--scenes is for the task duplex, and --server for --scenes")
    args.fields = fields.chosen(args.layout, args.field)
    args.text_fields = fields.chosen(None, args.text_field, "--text_field")
    args.llm = pinned(args.llm, args.llm_revision)
    args.output.mkdir(parents=True, exist_ok=True)
    subject = SUBJECTS["states" if args.task == "duplex" and args.scenes is None else args.task]
    config = read_config(args.config).whole_sets(args.max_new_tokens)
    args.language = args.language or config.score.judge.language
    args.normaliser = args.normaliser or config.score.normaliser
    with one_part():
        report = subject.evaluate(args, config)
        print("\n".join(report.lines()))
        name = "_".join(filter(None, (args.task, args.set or (args.data or args.scenes).stem)))
        report.write(args.output, name, started_s, args.seed)


if __name__ == "__main__":
    main()
