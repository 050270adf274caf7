"""Stage 4: questions -> the LLM's answers -> speech -> dialogues and duplex scenes with state labels."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.tts.backends import TtsError
from freeze_omni.data.tts.synthesize import TtsFolders, voice_of_command
from freeze_omni.dialogues.make import make_dialogues
from freeze_omni.dialogues.plan import DialogueConfig
from freeze_omni.eval.round_trip import of_dialogues
from freeze_omni.llm.frozen import LlmError


@user_errors(TtsError, LlmError)
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML: the sets and how scenes are composed")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what stage 1 wrote")
    parser.add_argument("--output", type=Path, default=Path("dump/dialogue"))
    parser.add_argument("--llm", required=True, help="folder or hub id of the frozen LLM")
    tts = "the answers' voice, in place of the YAML's: backend:name[@speed], or 'program:COMMAND' with {output} in it"
    parser.add_argument("--tts", default="", help=f"{tts}, which reads text from stdin")
    parser.add_argument("--cache", default="", help="folder of voices and spoken sentences")
    parser.add_argument(
        "--judge", type=Path, help="CTranslate2 Whisper, a folder or a hub id, for `rejection` of the YAML"
    )
    parser.add_argument("--nj", type=int, default=2, help="processes for synthesis")
    args = parser.parse_args(arguments)
    start = time.monotonic()
    config = build(DialogueConfig, read_yaml(args.config), args.config)
    judge = None
    if config.rejection is not None:
        if args.judge is None:
            raise ConfigError(f"{args.config}: rejection needs a recogniser: give --judge, or remove the key")
        judge = of_dialogues(args.judge, config.rejection, args.nj)
    voice, program = voice_of_command(args.tts or config.voice)
    folders = TtsFolders(cache=args.cache, program=program)
    make_dialogues(replace(config, voice=voice), args.data, args.output, args.llm, folders, args.nj, judge)
    print(f"dialogues took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
