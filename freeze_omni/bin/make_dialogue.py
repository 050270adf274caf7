"""Stage 4: questions -> the LLM's answers -> speech -> dialogues and duplex scenes with state labels."""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, add_part, device_of, one_part
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.tts.backends import TtsError
from freeze_omni.data.tts.synthesize import TtsFolders, default_cache, voice_of_command
from freeze_omni.dialogues.answers import AnswerConfig, Ask, ask_frozen
from freeze_omni.dialogues.endpoint import KEY, Server, ask_server
from freeze_omni.dialogues.make import Step, make_dialogues
from freeze_omni.dialogues.plan import DialogueConfig
from freeze_omni.eval.answer_file import OPTION, ask_file
from freeze_omni.eval.fields import ID, chosen
from freeze_omni.hub import loading
from freeze_omni.llm.source import LlmError


@user_errors(TtsError, LlmError)
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML: the sets and how scenes are composed")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what stage 1 wrote")
    parser.add_argument("--output", type=Path, default=Path("dump/dialogue"))
    parser.add_argument("--llm", required=True, help="folder or hub id of the frozen LLM")
    add_answers(parser)
    tts = "the answers' voice, in place of the YAML's: backend:name[@speed], or 'program:COMMAND' with {output} in it"
    parser.add_argument("--tts", default="", help=f"{tts}, which reads text from stdin")
    parser.add_argument("--cache", default="", help="folder of voices, spoken sentences and the LLM's answers")
    parser.add_argument(
        "--judge", type=Path, help="CTranslate2 Whisper, a folder or a hub id, for `rejection` of the YAML"
    )
    parser.add_argument("--nj", type=int, default=2, help="processes for synthesis and scenes")
    parser.add_argument("--llm_dtype", default="float32", help="of --llm, if it is asked here: float32 or bfloat16")
    steps = (
        "the last step to do: the LLM's answers and what the judge hears in questions, spoken answers, what it hears in"
    )
    parser.add_argument("--until", choices=get_args(Step), default="scenes", help=f"{steps} these, or all [scenes]")
    add_device(parser)
    add_part(parser)
    args = parser.parse_args(arguments)
    start = time.monotonic()
    config = build(DialogueConfig, read_yaml(args.config), args.config)
    judge = None
    device = device_of(args.device, args.part)
    if config.rejection is not None:
        if args.judge is None:
            raise ConfigError(f"{args.config}: rejection needs a recogniser: give --judge, or remove the key")
        from freeze_omni.eval.round_trip import of_dialogues  # brings a recogniser, and memory

        judge = of_dialogues(args.judge, config.rejection, args.nj, device, args.part)
    voice, program = voice_of_command(args.tts or config.voice)
    folders = TtsFolders(cache=args.cache, program=program)
    ask = asker(args, config.answers)
    config = replace(config, voice=voice)
    with one_part():
        make_dialogues(config, args.data, args.output, ask, folders, args.nj, judge, args.part, args.until)
    print(f"dialogues took {time.monotonic() - start:.0f} s")


def add_answers(parser: argparse.ArgumentParser) -> None:
    """Where the answers come from, if not from --llm in this process."""
    group = parser.add_argument_group("answers, if --llm is not asked here")
    source = group.add_mutually_exclusive_group()
    known = f"{', '.join(ID[:4])}, ... or `question`, and the answer"
    source.add_argument("--answers", type=Path, metavar="FILE", help=f".jsonl, .json, .csv or .tsv with {known}")
    server = "base of an OpenAI-compatible server that serves --llm, as http://127.0.0.1:8000/v1"
    source.add_argument("--answers_url", metavar="URL", help=f"{server}; its key, if any: ${KEY}")
    field = "fields of --answers, if their names do not show it: output=NAME id=NAME"
    group.add_argument(OPTION, nargs="+", action="extend", default=[], metavar="WHAT=NAME", help=field)
    missing = "a question that --answers does not answer ends the run, or is left out and listed in unanswered.jsonl"
    group.add_argument("--answers_missing", choices=["error", "skip"], default="error", help=missing)
    group.add_argument("--answers_model", default="", metavar="NAME", help="the server's name of the LLM [--llm]")
    requests = "requests in flight at once [%(default)s]"
    group.add_argument("--answers_requests", type=int, default=Server.requests, help=requests)
    retries = "of a request to a server that is not there or overloaded [%(default)s]"
    group.add_argument("--answers_retries", type=int, default=Server.retries, help=retries)
    group.add_argument("--answers_timeout_s", type=float, default=Server.timeout_s, help="of a try [%(default)s]")


def asker(args: argparse.Namespace, config: AnswerConfig) -> Ask:
    """What gives the answers. Raises ConfigError or TableError for options or a file that cannot be used."""
    cache = Path(args.cache) if args.cache else default_cache()
    if args.answers is not None:
        unanswered = args.output / "unanswered.jsonl"
        unanswered.unlink(missing_ok=True)
        fields = chosen(None, args.answers_field, OPTION)
        return ask_file(args.answers, fields, config, unanswered if args.answers_missing == "skip" else None)
    if args.answers_url is not None:
        model = args.answers_model or loading(args.llm)[0]
        how = (args.answers_requests, args.answers_retries, args.answers_timeout_s)
        return ask_server(Server(args.answers_url, model, *how), args.llm, config, cache, args.part)
    return ask_frozen(args.llm, config, cache, args.llm_dtype, device_of(args.device, args.part), args.part)


if __name__ == "__main__":
    main()
