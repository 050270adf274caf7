"""Write the tables `tokens`, `voices` (the global code of each utterance) and, with utt2spk, `speakers` (the voice of
each speaker). A killed run resumes where it stopped."""

import argparse
from functools import lru_cache
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, add_part, device_of
from freeze_omni.checkpoint import read_model
from freeze_omni.codec.codec import Codec
from freeze_omni.codec.dump import dump_tokens


@user_errors(name="codec_dump")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="codec_dump", description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="of stage 2.1, next to its config.yaml; or a packed model")
    parser.add_argument("--data_dir", required=True, help="with wav.scp; any rate is resampled")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--batch_s", type=float, default=60.0, help="seconds of audio in a batch")
    add_device(parser)
    add_part(parser)
    args = parser.parse_args(arguments)
    device = device_of(args.device, args.part)

    @lru_cache(maxsize=1)
    def codec() -> Codec:
        return read_model([f"{args.checkpoint}:codec"]).codec.to(device)

    done = dump_tokens(codec, Path(args.data_dir), Path(args.output_dir), args.batch_s, args.part)
    print(f"codec_dump: {done} utterances in {args.output_dir}/tokens")


if __name__ == "__main__":
    main()
