"""Make the CTC units from the transcripts of the training set (stage 3)."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.data.table_file import TableFile
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.llm.source import check_source
from freeze_omni.llm.units import BPE_TEXTS, CtcUnits, spelled_words, written_forms


@user_errors(OSError, ValueError)
def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    drawn = f"learned from at most {BPE_TEXTS:,} of the texts, drawn at random"
    options.add_argument("--text", nargs="+", required=True, help="Kaldi text files: id, then words")
    options.add_argument("--kind", choices=("llm", "bpe", "char", "word"), default="llm", help="see docs/stages.md")
    options.add_argument("--llm", help="folder or hub id of the LLM whose tokens are taken (kind llm)")
    options.add_argument("--min_count", type=int, default=3, help="rarer LLM tokens are spelled (kind llm)")
    options.add_argument("--size", type=int, default=500, help=f"number of units (kind bpe), {drawn}")
    options.add_argument("--lexicon", help="folder with words.tsv and pairs.tsv (kind word)")
    options.add_argument("--output", required=True, help="folder for tokens.txt and units.json")
    args = options.parse_args(arguments)
    units = make_units(args)
    units.save(args.output)
    print(f"{Path(args.output)}: {len(units)} units of kind {args.kind}")


def make_units(args: argparse.Namespace) -> CtcUnits:
    """The units of the given kind. Raises ConfigError for an unusable LLM, TableError for unusable text."""
    tables = [TableFile(path) for path in args.text]

    def texts() -> Iterator[str]:
        """Of all files; the memory of a run does not grow with them."""
        return (text for table in tables for _, text in table.sorted_items())

    if args.kind == "char":
        return CtcUnits.from_characters(texts())
    if args.kind == "bpe":
        return CtcUnits.from_bpe(texts(), args.size)
    if args.kind == "word":
        counts = WordCounts.load(args.lexicon).with_texts(map(spelled_words, texts()))
        return CtcUnits.from_words(counts, written_forms(texts()))
    if not args.llm:
        raise ConfigError("--kind llm needs --llm, the LLM whose tokens become units")
    from freeze_omni.llm.source import read_tokenizer

    return CtcUnits.from_llm(texts(), read_tokenizer(check_source(args.llm)), args.min_count)


if __name__ == "__main__":
    main()
