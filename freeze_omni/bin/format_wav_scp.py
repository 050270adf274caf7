"""Stage 2: a Kaldi directory -> 16-bit sounds at one rate, cut, padded, filtered by length: files, shards or arks."""

import argparse
import time
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_part
from freeze_omni.data.prepare import AUDIO_FORMATS, PrepareConfig, prepare_dir
from freeze_omni.data.tables import read_lines


@user_errors(ValueError, OSError)
def main(arguments: list[str] | None = None) -> None:
    default = PrepareConfig()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="data/<set> with wav.scp, text, utt2spk, and segments if any")
    parser.add_argument("output", help="dump/raw/<set>")
    parser.add_argument("--hz", type=int, default=default.hz, help="16000 for input, 24000 for output")
    parser.add_argument("--min_s", type=float, default=default.min_s)
    parser.add_argument("--max_s", type=float, default=default.max_s)
    parser.add_argument("--speeds", default="1.0", help='as in "0.9 1.0 1.1"')
    parser.add_argument("--pad_s", type=float, nargs=2, default=default.pad_s, metavar=("BEFORE", "AFTER"))
    parser.add_argument(
        "--audio_format", choices=AUDIO_FORMATS, default=default.audio_format, help="as ESPnet's [%(default)s]"
    )
    parser.add_argument("--shards", type=int, default=0, help="utterances of a tar shard; 0: no shards")
    parser.add_argument("--nj", type=int, default=2, help="processes")
    add_part(parser)
    args = parser.parse_args(arguments)
    start = time.monotonic()
    speeds = tuple(float(speed) for speed in args.speeds.replace(",", " ").split())
    form = {"audio_format": args.audio_format, "shards": args.shards}
    config = PrepareConfig(args.hz, args.min_s, args.max_s, speeds, tuple(args.pad_s), **form)
    kept = prepare_dir(args.source, args.output, config, args.nj, args.part)
    if not args.part.alone:
        print(f"{args.output}: {kept} utterances of part {args.part}, {time.monotonic() - start:.0f} s")
        return
    skipped = len(read_lines(Path(args.output, "skipped")))
    left_out = f", {skipped} skipped (see {args.output}/skipped)" if skipped else ""
    print(f"{args.output}: {kept} utterances{left_out}, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
