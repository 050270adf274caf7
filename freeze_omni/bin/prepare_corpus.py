"""Stage 1: a published corpus -> Kaldi directories data/<set>/. `prepare_corpus CORPUS --help` lists its options."""

import argparse
import dataclasses
import sys
import typing
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.corpora.base import CorpusError
from freeze_omni.data.corpora.prepare import PrepareOptions, prepare_corpus
from freeze_omni.data.corpora.registry import CORPORA, corpus_class


@user_errors(CorpusError, OSError)
def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("corpus", choices=CORPORA)
    name = top.parse_args(arguments[:1]).corpus
    cls = corpus_class(name)
    args = parser(name, cls).parse_args(arguments[1:])
    if args.root.exists():  # paths in the tables do not depend on where we are called
        args.root = args.root.resolve()
    own = {field.name: getattr(args, field.name) for field in dataclasses.fields(cls)}
    options = PrepareOptions(tuple(args.sets), args.nj, args.case == "lower", args.check_audio, args.most_skipped)
    prepare_corpus(name, cls(**own), args.data, options)


def parser(name: str, cls: type) -> argparse.ArgumentParser:
    """Our options, and one for each field of the corpus."""
    text = f"{sys.modules[cls.__module__].__doc__}\n{cls.__doc__}\nSource: {cls.source}"
    options = argparse.ArgumentParser(
        prog=f"prepare_corpus {name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        given = {"required": True} if field.name == "root" else {"default": field.default}
        kind = _truth if hints[field.name] is bool else hints[field.name]
        note = "" if field.name == "root" or field.default == "" else f" [{field.default}]"
        options.add_argument(f"--{field.name}", type=kind, help=field.metadata["help"] + note, **given)
    default = PrepareOptions()
    options.add_argument("--data", type=Path, default=Path("data"), help="where the directories go [data]")
    options.add_argument("--sets", nargs="*", default=[], help="only these sets [all]")
    options.add_argument("--nj", type=int, default=default.nj, help=f"processes [{default.nj}]")
    options.add_argument("--case", choices=("keep", "lower"), default="keep", help="case of the transcripts [keep]")
    options.add_argument("--check_audio", type=_truth, default=True, help="check every file's header [true]")
    skipped = f"share of a set [{default.most_skipped}]"
    options.add_argument("--most_skipped", type=float, default=default.most_skipped, help=skipped)
    return options


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError("true or false")
    return text == "true"


if __name__ == "__main__":
    main()
