"""For `length: predicted`, or with --always, write `durations` next to `tokens`: how many speech tokens each row of the
text takes, by aligning its characters and the speech (a hidden Markov model that is trained on just these directories).
Further options are those of the training of stage 2.2."""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.stages import stage_options
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.speech_decoder.normalise import spoken_ids
from freeze_omni.speech_decoder.timing.durations import durations
from freeze_omni.stages import stage
from freeze_omni.tasks.speech_decoder import SpeechDecoderModelConfig


@user_errors(OSError, ValueError, name="time_text")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="time_text", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True, help="YAML of stage 2.2: its text units and style")
    parser.add_argument("--llm", required=True, help="folder of the LLM whose tokens the rows are")
    parser.add_argument("--data_dir", required=True, nargs="+", type=Path, help="with wav.scp and the text file")
    parser.add_argument("--text", nargs="+", default=["text"], help="name of the text file in each of them [text]")
    parser.add_argument("--token_dir", required=True, nargs="+", type=Path, help="of each: where its tokens are")
    parser.add_argument("--always", action="store_true", help="also for a decoder without durations: for its prefix")
    parser.add_argument("--nj", type=int, default=1, help="processes that read sound [1]")
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
            (folder / "durations").unlink(missing_ok=True)
        print("time_text: nothing to do, length: constant needs no durations")
    else:
        count = _time(config, FrozenLLM.on_meta(args.llm).tokenizer, args, names)
        print(f"time_text: {count} utterances timed")


def _time(config: SpeechDecoderModelConfig, tokenizer: Any, args: argparse.Namespace, names: list[str]) -> int:
    rows: dict[str, list[str]] = {}
    recordings: dict[str, str] = {}
    counts: dict[str, int] = {}
    for number, (data, tokens, name) in enumerate(zip(args.data_dir, args.token_dir, names, strict=True)):
        spoken, texts = read_table(data / "wav.scp"), read_table(data / name)
        for uid, line in read_table(tokens / "tokens").items():
            if uid not in spoken or uid not in texts:
                continue  # training leaves it out and says so
            key = f"{number} {uid}"
            ids = spoken_ids(texts[uid], tokenizer, config.speech_decoder.text_units, config.text_style)
            rows[key] = [tokenizer.decode([one]) or " " for one in ids]
            recordings[key], counts[key] = spoken[uid], len(line.split())
    found = durations({key: "".join(row) for key, row in rows.items()}, recordings, counts, args.nj)
    found = {key: _by_row(rows[key], row) for key, row in found.items()}
    for number, tokens in enumerate(args.token_dir):
        own = {key: row for key, row in found.items() if key.startswith(f"{number} ")}
        write_table(tokens / "durations", {key.split(" ", 1)[1]: " ".join(map(str, row)) for key, row in own.items()})
    return len(found)


def _by_row(rows: list[str], characters: list[int]) -> list[int]:
    """The numbers of characters, added up by the rows that they stand in."""
    left = iter(characters)
    return [sum(islice(left, len(row))) for row in rows]


if __name__ == "__main__":
    main()
