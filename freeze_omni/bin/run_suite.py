"""Write what a public test suite's own scorer reads: answers of a packed model, of a server, or of another system.

    freeze-omni suite uro_bench --all --data URO-Bench-data --model exp/pack --output log/eval
    freeze-omni suite full_duplex_bench --data v1.0 --server ws://127.0.0.1:8765 --judge whisper --output out
    freeze-omni suite voicebench --data saved/sd-qa --outputs their/answers.jsonl --output out/sd-qa
    freeze-omni suite uro_bench --results log/eval

The files are checked in the end. --results reads what the scorer found. docs/suites.md has the whole way of each suite.
"""

import argparse
import os
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.data.corpora.base import CorpusError
from freeze_omni.eval import fields
from freeze_omni.eval.suites.base import SuiteError
from freeze_omni.eval.suites.results import results
from freeze_omni.eval.suites.run import SUITES, run_suite


@user_errors(SuiteError, CorpusError, name="suite")
def main(arguments: list[str] | None = None) -> None:
    """Exits with one line if something cannot be read or is not in the suite's form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--data", type=Path, help="one subset, as it is published; with --all the folder of all")
    parser.add_argument("--all", action="store_true", help="all subsets, each in its folder of --output")
    system = parser.add_mutually_exclusive_group(required=True)
    system.add_argument("--model", type=Path, help="packed model folder")
    system.add_argument("--server", help="a Realtime server, ws://127.0.0.1:8765, spoken to in real time")
    system.add_argument("--outputs", type=Path, help="texts and sounds by the suite's ids (docs/evaluation.md)")
    system.add_argument("--results", type=Path, help="read what the suite's scorer has written or printed there")
    parser.add_argument("--api_key", default=os.environ.get("FREEZE_OMNI_API_KEY", ""), help="of the server")
    parser.add_argument("--ca", type=Path, help="certificate to trust, such as a self-signed one")
    fields.add_options(parser)
    parser.add_argument("--output", type=Path, help="folder to write")
    parser.add_argument("--name", default="freeze-omni", help="the system's name in file names")
    judge = "CTranslate2 Whisper, a folder or a hub id: writes output.json (full_duplex_bench)"
    parser.add_argument("--judge", type=Path, help=judge)
    parser.add_argument("--max_new_tokens", type=int, default=512, help="longest answer of --model")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    args = parser.parse_args(arguments)
    if args.results:
        print("\n".join(results(args.suite, args.results, args.output)))
        return
    for name in ("data", "output"):
        if getattr(args, name) is None:
            raise ConfigError(f"--{name} is missing: see freeze-omni suite --help")
    args.fields = fields.chosen(args.layout, args.field)
    print("\n".join(run_suite(args)))


if __name__ == "__main__":
    main()
