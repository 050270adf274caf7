"""Make test sets of what others have made: published questions, with sound or spoken here, and recordings of people.

    python -m freeze_omni.bin.outside_sets llama_questions webquestions=wq/test.json --output dump/outside \\
        --training data/asr_train dump/dialogue/train

Writes OUTPUT/<name> for each, and OUTPUT/sources.jsonl. Questions that are in the training texts are left out, with a
warning that names them. docs/evaluation.md describes the forms.
"""

import argparse
import re
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.data.kaldi_dir import write_sources
from freeze_omni.data.tts.backends import TtsError
from freeze_omni.eval.config import read_config
from freeze_omni.eval.outside import Training, prepare


@user_errors(TtsError, name="outside_sets")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="[NAME=]PATH", help="default: the name of the folder or file")
    parser.add_argument("--output", required=True, type=Path, help="folder of the data directories")
    parser.add_argument(
        "--training", nargs="*", default=[], type=Path, help="data directories of training and dev sets"
    )
    parser.add_argument(
        "--speaking", nargs="*", default=[], type=Path, help="those of speech output: no listening part hears the voice"
    )
    parser.add_argument("--config", type=Path, help="decode.yaml; `outside` says how many questions, and the voice")
    parser.add_argument("--nj", type=int, default=2, help="processes of synthesis")
    args = parser.parse_args(arguments)
    config, training = read_config(args.config).outside, Training.read(args.training, args.speaking)
    sources = []
    for name, path in named(args.sets).items():
        sources.append(prepare(name, path, args.output / name, config, training, args.nj))
        print(f"{args.output / name}: {sources[-1].utterances} utterances, {sources[-1].source}")
    write_sources(args.output, sources)


def named(given: list[str]) -> dict[str, Path]:
    """Sets by name, by default that of the folder or file. Raises ConfigError."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text)
        name = name if equals else path.name
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder; correct --outside_sets")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name in found:
            raise ConfigError(f"{text}: give it a name of its own, of letters, digits, _, . and -, as NAME={path}")
        found[name] = path
    return found


if __name__ == "__main__":
    main()
