"""Turn the published checkpoints (audiollm, decoder, codec, server.json) into a packed model folder."""

import argparse
from pathlib import Path

import torch

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.audio import read_audio, read_question
from freeze_omni.eval.question import ask, summary
from freeze_omni.eval.question import report as told
from freeze_omni.llm.frozen import FrozenLLM, LlmError
from freeze_omni.llm.source import pinned
from freeze_omni.pack import save
from freeze_omni.released.checkpoint import NOTICE, build_model, read_released
from freeze_omni.released.report import report
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line if something does not follow the layout."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checkpoint", required=True, type=Path, help="folder of the published layout")
    options.add_argument("--llm", required=True, help="folder or hub id of its LLM (published: Qwen2-7B-Instruct)")
    options.add_argument("--llm_revision", help="commit, tag or branch of a hub id")
    options.add_argument("--output", required=True, type=Path, help="packed folder to write")
    options.add_argument("--llm_dtype", default="float32", help="float32, bfloat16, float16 or auto (as stored)")
    options.add_argument("--link_llm", action="store_true", help="refer to the LLM in its place, copy nothing")
    options.add_argument("--voice", help="sound file of a voice to replace model.json's")
    options.add_argument("--check", type=Path, metavar="WAV", help="ask this question and print the answer")
    options.add_argument("--seed", type=int, default=0, help="seed of the answer to --check")
    convert(options.parse_args(arguments))


@user_errors(LlmError, ValueError, OSError, name="import-released")
def convert(args: argparse.Namespace) -> None:
    source = pinned(args.llm, args.llm_revision)
    released = read_released(args.checkpoint, args.llm_dtype)
    print("\n".join(report(released)))
    if not released.has_voice and not args.voice:
        raise ValueError(f"{args.checkpoint / 'codec' / 'model.json'}: no global_tokens; give --voice WAV")
    print(f"licence: {NOTICE}", flush=True)
    llm = FrozenLLM.load(source, dtype=args.llm_dtype, texts=released.config.chat)
    model = build_model(released, llm)
    if args.voice:
        model.set_voice(torch.from_numpy(read_audio(args.voice, model.rates.output_hz)[0]))
        print(f"voice of {args.voice}: global tokens {' '.join(map(str, model.voice[0].tolist()))}")
    print(f"wrote {save(model, args.output, copy_llm=not args.link_llm)}")
    if args.check:
        check(model, args.check, args.seed)


def check(model: FreezeOmni, path: Path, seed: int) -> None:
    """One turn, from sound to sound."""
    sound, notes = read_question(path, model.rates.input_hz)
    asked = ask(model, sound, SessionConfig(seed=seed))
    found = summary(asked, model.rates.output_hz)
    print(f"check: {path}" + "".join(f" ({note})" for note in notes))
    print(f"heard:    {len(asked.decisions)} chunks; no words are known: an imported model has no CTC head")
    print("\n".join(line for line in told(found, timed=True) if not line.startswith("user:")))
    print(f"said:     {found['answer_s']:.2f} s of speech, {asked.speech_tokens} speech tokens")


if __name__ == "__main__":
    main()
