"""A text file, one sentence per line -> data/{train,dev,test}/text for synthesis; the last sentences are held out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from freeze_omni.data.corpora.speakable import unspeakable
from freeze_omni.data.tables import TableError, read_lines, write_lines, write_table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="the text file, UTF-8")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--held_out", type=int, default=50, help="sentences of dev, and as many of test [50]")
    parser.add_argument("--most_words", type=int, default=40, help="longer lines are skipped [40]")
    args = parser.parse_args(arguments)
    try:
        lines = read_lines(args.text)
    except (OSError, TableError) as error:
        print(f"error: {error}; give a text file in UTF-8", file=sys.stderr)
        return 1
    texts: dict[str, str] = {}
    skipped = []
    for number, line in enumerate(lines, start=1):
        text = " ".join(line.split())
        reason = unspeakable(text, args.most_words) if text else None
        if reason is not None:
            skipped.append(f"{args.text}:{number}\t{reason}")
        elif text in texts:
            skipped.append(f"{args.text}:{number}\tthe sentence comes again")
        elif text:
            texts[text] = f"line{number:07d}"
    kept = [(key, text) for text, key in texts.items()]
    if len(kept) <= 2 * args.held_out:
        print(f"error: {args.text}: {len(kept)} sentences are too few for --held_out {args.held_out}", file=sys.stderr)
        return 1
    dev, test = len(kept) - 2 * args.held_out, len(kept) - args.held_out
    for name, some in (("train", kept[:dev]), ("dev", kept[dev:test]), ("test", kept[test:])):
        write_table(args.data / name / "text", dict(some))
    write_lines(args.data / "skipped", skipped)
    print(
        f"{args.data}: {len(kept)} sentences, {len(skipped)} skipped"
        + (f" (see {args.data}/skipped)" if skipped else "")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
