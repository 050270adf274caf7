"""Take synthetic speech that a recogniser mishears out of data directories, and list it in <folder>/rejected."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from freeze_omni.data.audio import AudioError
from freeze_omni.data.tables import TableError
from freeze_omni.eval.judge import Judge, JudgeConfig
from freeze_omni.eval.normalise import NORMALISERS
from freeze_omni.eval.round_trip import REJECTED, reject_misheard


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="data directories with wav.scp, text and utt2spk")
    parser.add_argument("--judge", required=True, type=Path, help="CTranslate2 Whisper folder")
    parser.add_argument("--language", default="en")
    parser.add_argument("--normaliser", choices=sorted(NORMALISERS), default="english")
    parser.add_argument(
        "--most_wer", type=float, default=0.2, help="error rate of an utterance above which it goes [0.2]"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(arguments)
    config = replace(JudgeConfig(), language=args.language, threads=args.threads)
    judge = lru_cache(maxsize=1)(lambda: Judge(args.judge, config))
    try:
        for folder in args.folders:
            kept, rejected = reject_misheard(folder, args.judge, config, judge, args.most_wer, args.normaliser)
            print(f"{folder}: {kept} kept, {rejected} rejected" + (f" (see {folder / REJECTED})" if rejected else ""))
    except (TableError, AudioError, FileNotFoundError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
