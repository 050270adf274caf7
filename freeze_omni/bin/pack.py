"""Pack the trained parts, the LLM and the units into one folder (stage 13)."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freeze_omni.bin.errors import user_errors
from freeze_omni.checkpoint import PartsSource, described_parts, load_parts, read_model, require_tuning
from freeze_omni.config import ConfigError, as_mapping, build, read_yaml
from freeze_omni.data.audio import read_audio
from freeze_omni.encoder.load_transcriber import read_transcriber
from freeze_omni.llm.source import pinned
from freeze_omni.llm.tuned import PART as LLM_TUNING
from freeze_omni.pack import check_replaceable, find, gguf_file, load, save
from freeze_omni.streaming import join_parts
from freeze_omni.system import PARTS, FreezeOmni, SystemConfig


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    parts = "checkpoints, config.yaml next to each, and the parts to take from them"
    base = "packed model (such as an imported one) for what --parts does not name, and for LLM, units and voice"
    options.add_argument("--output", required=True, help="folder to write")
    options.add_argument("--llm", help="folder or hub id of the frozen LLM; needed without --base")
    options.add_argument("--llm_revision", help="commit, tag or branch of a hub id")
    dtypes = "float32, bfloat16, float16; faster on a CPU: float16_weights or int8"
    options.add_argument("--llm_dtype", default="float32", help=dtypes)
    gguf = "GGUF file of the LLM, by which llama.cpp computes in sessions on a CPU (extra `llama`)"
    options.add_argument("--llm_gguf", type=Path, metavar="FILE", help=f"{gguf}; default: that of --base")
    few_bits = "encoder, speech_decoder: matrices that a CPU keeps in float16 or int8; packed weights stay in float32"
    options.add_argument("--few_bits", type=pair, nargs="+", default=[], metavar="PART=BITS", help=few_bits)
    options.add_argument("--units", help="folder of the CTC units; needed without --base")
    options.add_argument("--parts", nargs="+", default=[], metavar="PATH:PART,PART", help=parts)
    transcriber = "the frontend's Whisper, folder or hub id: its decoder says the words, in place of the word search"
    options.add_argument("--transcriber", metavar="MODEL", help=transcriber)
    options.add_argument("--language", default="en", help="of the transcriber, if it knows many; default: en")
    options.add_argument("--base", help=base)
    options.add_argument("--voice", help="sound file of the voice to speak with")
    options.add_argument("--config", help="YAML with further keys of SystemConfig")
    options.add_argument("--system", help="the system prompt that was trained with")
    options.add_argument("--results", help="RESULTS.md to put in")
    options.add_argument("--link_llm", action="store_true", help="refer to the LLM, copy nothing")
    return options


def pair(text: str) -> tuple[str, str]:
    """Of a word PART=BITS. Raises ArgumentTypeError for others."""
    part, equals, bits = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is no PART=BITS, such as encoder=int8")
    return part, bits


def assemble(args: argparse.Namespace) -> FreezeOmni:
    """The model of the command line. Raises ConfigError or ValueError for what does not fit."""
    if not args.parts and not (args.base and args.transcriber):
        raise ConfigError("--parts is missing: give it, or --base PACK with --transcriber MODEL")
    model = _of_parts(args)
    if args.transcriber is not None:
        return with_transcriber(model, args.transcriber, args.language)
    adapter = model.config.adapter
    if adapter is not None and adapter.transcribed and not model.has("transcriber"):
        raise ConfigError("--transcriber is missing: the adapter has learned from the words of one")
    return model


def _of_parts(args: argparse.Namespace) -> FreezeOmni:
    sources = [PartsSource.parse(text) for text in args.parts]
    chosen: dict[str, Any] = {} if args.system is None else {"system_prompt": args.system}
    if args.few_bits:
        chosen["few_bits"] = dict(args.few_bits)
    if args.base:
        return replace_parts(args.base, sources, chosen)
    for name in ("llm", "units"):
        if getattr(args, name) is None:
            raise ConfigError(f"--{name} is missing: give it, or --base PACK")
    mapping: dict[str, Any] = (read_yaml(args.config) if args.config else {}) | chosen
    llm = pinned(args.llm, args.llm_revision)
    model = read_model(sources, llm, args.units, None, mapping, args.llm_dtype, args.config or "--parts")
    if missing := set(PARTS) - {"frontend", "transcriber", "task_tokens", LLM_TUNING} - set(model.trained_parts):
        raise ConfigError(f"--parts: no checkpoint for {', '.join(sorted(missing))}")
    return model


def replace_parts(base: str, sources: list[PartsSource], chosen: Mapping[str, Any]) -> FreezeOmni:
    """The packed model with some parts from elsewhere. chosen: keys of SystemConfig in place of its own. Raises
    ConfigError or ValueError for what does not fit."""
    require_tuning(sources)
    model, found = load(base, gguf="", few_bits={}), load_parts(sources)
    described: dict[str, Any] = {}
    for source in sources:
        described |= described_parts(source)
    return _with_parts(model, found, described | dict(chosen), base)


def with_transcriber(model: FreezeOmni, source: str, language: str) -> FreezeOmni:
    """The model whose words are said by the decoder of its frontend's Whisper. Raises ConfigError or ValueError for one
    that does not fit."""
    keys, weights = read_transcriber(source, model.llm.tokenizer, language)
    return _with_parts(model, {"transcriber": weights}, {"transcriber": keys}, "--transcriber")


def _with_parts(
    model: FreezeOmni, found: Mapping[str, Mapping[str, Tensor]], keys: Mapping[str, Any], where: str
) -> FreezeOmni:
    """The model with these parts in place of its own, or further ones, and these keys of SystemConfig."""
    mapping = as_mapping(model.config)
    if mapping["parts"]:
        mapping["parts"] = sorted({*mapping["parts"], *found})
    kept = {name: value for name, value in model.state_dict().items() if name.split(".")[0] not in found}
    built = build(SystemConfig, mapping | dict(keys), where=where)
    return FreezeOmni(built, model.llm, model.units, kept | join_parts(found))


@user_errors(OSError, ValueError, name="pack")
def main() -> None:
    """Write the folder and print its size."""
    args = parser().parse_args()
    check_replaceable(Path(args.output))
    model = assemble(args)
    if args.voice:
        model.set_voice(torch.from_numpy(read_audio(Path(args.voice), model.rates.output_hz)[0]))
    gguf = args.llm_gguf or args.base and gguf_file(find(args.base), model.config)
    folder = save(model, args.output, args.results, copy_llm=not args.link_llm, gguf=gguf)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
