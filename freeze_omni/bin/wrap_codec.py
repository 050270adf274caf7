"""Use a codec of another library instead of stage 2.1: writes the same checkpoint and config.yaml.

    python -m freeze_omni.bin.wrap_codec --codec my_codec:MyCodec --config codec.yaml --output exp/2.1_codec

codec.yaml has the keys of CodecConfig that differ (hop_samples, quantiser, global_code, external.options).
The wrapped codec is tested on a second of sound, whole and streamed, before anything is written.
"""

import argparse
from pathlib import Path

import torch
import yaml

from freeze_omni.bin.errors import user_errors
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.external import ExternalCodec, build_external
from freeze_omni.config import ConfigError, as_mapping, build, read_yaml
from freeze_omni.data.tables import write_lines

CHECKPOINT = "valid.loss.ave.pth"
_TOLERANCE = 1e-3


@user_errors(RuntimeError, ValueError, name="wrap_codec")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", required=True, help="module:Class, a subclass of ExternalCodec")
    parser.add_argument("--config", type=Path, help="YAML of its configuration")
    parser.add_argument("--output", required=True, type=Path, help="folder, as exp/2.1_codec")
    args = parser.parse_args(arguments)
    mapping = read_yaml(args.config) if args.config else {}
    external = {**(mapping.get("external") or {}), "code": args.codec}
    mapping |= {"architecture": "external", "external": external}
    codec = build_external(build(CodecConfig, mapping, str(args.config or "defaults")))
    error = try_out(codec)
    args.output.mkdir(parents=True, exist_ok=True)
    state = {f"codec.{key}": value for key, value in codec.state_dict().items()}
    torch.save(state, args.output / CHECKPOINT)
    write_lines(args.output / "config.yaml", [yaml.safe_dump({"model": {"codec": as_mapping(codec.config)}})])
    exact = "exactly" if error <= _TOLERANCE else f"up to {error:.3g}: give more context_tokens or lookahead_tokens"
    print(f"{args.output}: {args.codec}, {codec.codebook_size} codes, streamed as decoded at once {exact}")


def try_out(codec: ExternalCodec) -> float:
    """The largest difference between decoding at once and in steps. Raises ConfigError for shapes that do not fit."""
    hop = codec.hop_samples
    wav = 0.1 * torch.randn(2, 40 * hop, generator=torch.Generator().manual_seed(0))
    tokens = codec.encode_rows(wav)
    if tokens.shape != (2, 40) or int(tokens.max()) >= codec.codebook_size or int(tokens.min()) < 0:
        raise ConfigError(
            f"encode_rows gave tokens {tuple(tokens.shape)} up to {int(tokens.max())} for 40 hops of {hop} samples and"
            f" {codec.codebook_size} codes; fix hop_samples or quantiser.codebook_size"
        )
    tokens, lengths, voice = codec.encode(wav)
    whole = codec.decode(tokens, voice, lengths)
    if whole.shape != wav.shape:
        raise ConfigError(f"decode_rows gave {tuple(whole.shape)} samples for 40 tokens of {hop}")
    state, pieces = codec.initial_state(2), []
    for part in tokens.split([1, 7, 20, 12], dim=1):
        piece, state = codec.step(part, state, voice)
        pieces.append(piece)
    pieces.append(codec.flush(state, voice))
    return float((torch.cat(pieces, dim=1)[:, codec.delay_samples :] - whole).abs().max())


if __name__ == "__main__":
    main()
