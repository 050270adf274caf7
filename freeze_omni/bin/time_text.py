"""For `length: predicted`, or with --always, write `durations` next to `tokens`: how many speech tokens each row of the
text takes, by aligning its characters and the speech (a hidden Markov model that is trained on just these directories).
Further options are those of the training of stage 2.2."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.stages import stage_options
from freeze_omni.bin.where import add_part, one_part
from freeze_omni.speech_decoder.timing.durations import DURATIONS, TextRows, TimedSet, write_durations
from freeze_omni.stages import stage


@user_errors(OSError, ValueError, name="time_text")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="time_text", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True, help="YAML of stage 2.2: its text units and style")
    parser.add_argument("--llm", required=True, help="folder of the LLM whose tokens the rows are")
    parser.add_argument("--data_dir", required=True, nargs="+", type=Path, help="with wav.scp and the text file")
    parser.add_argument("--text", nargs="+", default=["text"], help="name of the text file in each of them [text]")
    parser.add_argument("--token_dir", required=True, nargs="+", type=Path, help="of each: where its tokens are")
    parser.add_argument("--always", action="store_true", help="also for a decoder without durations: for its prefix")
    parser.add_argument("--nj", type=int, default=1, help="processes that read sound and align it [1]")
    add_part(parser)
    args, overrides = parser.parse_known_args(arguments)
    if len(args.data_dir) != len(args.token_dir):
        parser.error("as many --token_dir as --data_dir are needed")
    names = args.text * len(args.data_dir) if len(args.text) == 1 else args.text
    if len(names) != len(args.data_dir):
        parser.error("one --text for all, or one for each --data_dir")
    task, options = stage_options(stage("speech_decoder"), args.config, overrides)
    config = task.set_up(options)[0]
    if config.speech_decoder.length == "constant" and not args.always:
        for folder in args.token_dir:
            (folder / DURATIONS).unlink(missing_ok=True)
        print("time_text: nothing to do, length: constant needs no durations")
        return
    places = zip(args.data_dir, names, args.token_dir, strict=True)
    sets = [TimedSet(data / "wav.scp", data / name, tokens / "tokens") for data, name, tokens in places]
    rows = TextRows(args.llm, config.speech_decoder.text_units, config.text_style)
    with one_part():
        print(f"time_text: {write_durations(sets, rows, args.nj, args.part)} utterances timed")


if __name__ == "__main__":
    main()
