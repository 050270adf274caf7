"""Write what a pretrained encoder makes of the sound of a data directory, for stages 1.1 to 1.3: feats.scp and its
archives, next to a copy of the other tables. A killed run resumes. Options that are not listed are those of the
training of stage 1.1, such as `--model frontend.left_s=6`, or `--init_parts` with the frontend of stage 1.0."""

import argparse
import zlib
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.stages import stage_options
from freeze_omni.bin.where import add_device, add_part, device_of
from freeze_omni.checkpoint import PartsSource, fill_parts, load_parts
from freeze_omni.config import ConfigError
from freeze_omni.data.augment import AugmentConfig, augment
from freeze_omni.data.features import dump_features
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.load import load_weights
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.stages import stage


@user_errors(ValueError, name="dump_feats")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dump_feats", description=__doc__)
    parser.add_argument("--config", required=True, help="YAML of stage 1.1; its model: frontend and augment are read")
    parser.add_argument("--encoder", required=True, help="folder of transformers or CTranslate2, or hub id")
    parser.add_argument("--data_dir", required=True, help="with wav.scp; any rate is resampled")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--augment", default="false", choices=["true", "false"], help="change the sound, for training")
    parser.add_argument("--seed", type=int, default=0, help="of these changes")
    parser.add_argument(
        "--in_use", default="false", choices=["true", "false"], help="a window for each chunk, as in use; slower"
    )
    add_device(parser)
    add_part(parser)
    args, training = parser.parse_known_args(arguments)
    task, options = stage_options(stage("encoder"), args.config, ["--encoder", args.encoder, *training])
    config = task.set_up(options)[0]
    if config.frontend is None:
        raise ConfigError(f"{args.config}: no `model: frontend`, which says how a pretrained encoder is used")
    device, used = device_of(args.device, args.part), config.frontend

    @lru_cache(maxsize=1)  # nothing is loaded if all is done
    def frontend() -> PretrainedFrontend:
        return load_frontend(used, args.encoder, task.sources(options)).to(device)

    change = None
    if args.augment == "true" and config.augment is not None:
        change = partial(_changed, config=config.augment, seed=args.seed)
    in_use = 1.0 if args.in_use == "true" else config.frontend.train_in_use
    data, output = Path(args.data_dir), Path(args.output_dir)
    done = dump_features(
        lambda sounds: features(frontend(), in_use, args.seed, sounds), data, output, change, args.part
    )
    print(f"dump_feats: {done} utterances in {args.output_dir}/feats.scp")


def load_frontend(config: PretrainedConfig, encoder: str, sources: Sequence[PartsSource]) -> PretrainedFrontend:
    """The published model, or what stage 1.0 has made of it."""
    loaded = build_frontend(config)
    load_weights(loaded, encoder)
    fill_parts(nn.ModuleDict({"frontend": loaded}), load_parts(sources))
    return loaded


@torch.inference_mode()
def features(frontend: PretrainedFrontend, in_use: float, seed: int, sounds: Sequence[Tensor]) -> list[Tensor]:
    """Samples (S,) of some sounds to features (F, D) of each, with those that come after its end.

    in_use: how likely a window serves one chunk, as in use, and not up to `train_chunks`; drawn by the seed and the
    sounds, so that a resumed run draws the same.
    """
    drawn = np.random.default_rng([seed, sum(map(len, sounds))]).random()
    chunks = 1 if drawn < in_use else window_chunks(frontend, max(map(len, sounds)))
    wavs = [nn.functional.pad(wav, (0, frontend.delay_samples)) for wav in sounds]
    lengths = torch.tensor([len(wav) for wav in wavs], device=frontend.device)
    feats, counts = frontend(nn.utils.rnn.pad_sequence(wavs, batch_first=True).to(frontend.device), lengths, chunks)
    return [one[:count] for one, count in zip(feats, counts, strict=True)]


def window_chunks(frontend: PretrainedFrontend, samples: int) -> int:
    """Chunks of a window: the fewest windows of `train_chunks` or less, all of one size."""
    chunks = max(1, -(-(samples + frontend.delay_samples) // frontend.chunk_samples))
    windows = -(-chunks // frontend.config.train_chunks)
    return -(-chunks // windows)


def _changed(uid: str, samples: np.ndarray, config: AugmentConfig, seed: int) -> np.ndarray:
    return augment(samples, np.random.default_rng([seed, zlib.crc32(uid.encode())]), config)


if __name__ == "__main__":
    main()
