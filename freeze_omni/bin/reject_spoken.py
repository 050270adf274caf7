"""Remove synthetic speech that a recogniser mishears from data directories, and list it in <folder>/rejected."""

import argparse
from dataclasses import replace
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, device_of
from freeze_omni.eval.config import JudgeConfig
from freeze_omni.eval.round_trip import REJECTED, reject_misheard
from freeze_omni.eval.wer import NORMALISERS


@user_errors(name="reject_spoken")
def main(arguments: list[str] | None = None) -> None:
    """Exits with one line if something cannot be read, or if nothing would be left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="data directories with wav.scp, text and utt2spk")
    parser.add_argument("--judge", required=True, type=Path, help="CTranslate2 Whisper, a folder or a hub id")
    parser.add_argument("--language", default="en")
    parser.add_argument("--normaliser", choices=sorted(NORMALISERS), default="english")
    most = "error rate above which an utterance is removed [0.2]"
    parser.add_argument("--most_wer", type=float, default=0.2, help=most)
    parser.add_argument("--threads", type=int, default=2)
    add_device(parser)
    args = parser.parse_args(arguments)
    device = device_of(args.device)
    config = replace(JudgeConfig(), language=args.language, threads=args.threads)
    for folder in args.folders:
        kept, rejected = reject_misheard(folder, args.judge, config, args.most_wer, args.normaliser, device)
        print(f"{folder}: {kept} kept, {rejected} rejected" + (f" (see {folder / REJECTED})" if rejected else ""))


if __name__ == "__main__":
    main()
