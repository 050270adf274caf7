"""Write what a public test suite's own scorer reads: answers of a packed model, or of another system.

    freeze-omni suite uro_bench --data URO-Bench-data/basic/TruthfulEval --model exp/pack --output out/TruthfulEval
    freeze-omni suite full_duplex_bench --data v1.0 --model exp/pack --judge whisper --output out
    freeze-omni suite voicebench --data saved/sd-qa --outputs their/answers.jsonl --output out/sd-qa

The files are checked in the end.
"""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.corpora.base import CorpusError
from freeze_omni.eval import fields
from freeze_omni.eval.suites.base import SuiteError
from freeze_omni.eval.suites.run import SUITES, run_suite


@user_errors(SuiteError, CorpusError, name="suite")
def main(arguments: list[str] | None = None) -> None:
    """Exits with one line if something cannot be read or is not in the suite's form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--data", required=True, type=Path, help="one subset, as it is published")
    system = parser.add_mutually_exclusive_group(required=True)
    system.add_argument("--model", type=Path, help="packed model folder")
    system.add_argument("--outputs", type=Path, help="texts and sounds by the suite's ids (docs/evaluation.md)")
    fields.add_options(parser)
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--name", default="freeze-omni", help="the system's name in file names")
    parser.add_argument(
        "--judge", type=Path, help="CTranslate2 Whisper, a folder or a hub id: writes output.json (full_duplex_bench)"
    )
    parser.add_argument("--max_new_tokens", type=int, default=512, help="longest answer")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    args = parser.parse_args(arguments)
    args.fields = fields.chosen(args.layout, args.field)
    print("\n".join(run_suite(args)))


if __name__ == "__main__":
    main()
