"""Speech to tokens for stage 2.2: `python -m freeze_omni.bin.codec_dump --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from freeze_omni.checkpoint import read_model
from freeze_omni.codec.dump import dump_tokens
from freeze_omni.config import ConfigError
from freeze_omni.data.audio import AudioError
from freeze_omni.data.tables import TableError


def main(arguments: list[str] | None = None) -> int:
    """Dump a data directory. Returns 1 after one line of error."""
    parser = argparse.ArgumentParser(
        prog="codec_dump",
        description="Write `tokens` (one line for each utterance), `voices.npz` (global codes by utterance) and, with "
        "utt2spk, `speakers.npz` (the voice of each speaker). A killed run resumes where it stopped.",
    )
    parser.add_argument("--checkpoint", required=True, help="of stage 2.1, next to its config.yaml; or a packed model")
    parser.add_argument("--data_dir", required=True, help="with wav.scp; any rate is resampled")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--batch_s", type=float, default=60.0, help="seconds of audio in a batch")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    try:
        codec = read_model([f"{args.checkpoint}:codec"]).codec.to(args.device)
        done = dump_tokens(codec, Path(args.data_dir), Path(args.output_dir), args.batch_s)
    except (AudioError, ConfigError, TableError) as error:
        print(f"codec_dump: error: {error}", file=sys.stderr)
        return 1
    print(f"codec_dump: {done} utterances in {args.output_dir}/tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
