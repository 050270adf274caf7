"""Stage 1 of dialogue recipes: speak data/qa_<set>/dialogues.jsonl into data/asr_<set> (the user's turns, many voices)
and data/tts_<set> (the assistant's sentences, one voice). Earlier speech is kept."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.kaldi_dir import refuse_recordings, write_spoken_set
from freeze_omni.data.tables import TableError
from freeze_omni.data.tts.backends import TtsError
from freeze_omni.data.tts.synthesize import TtsFolders, available_voices, synthesize
from freeze_omni.dialogues.plan import SpeakConfig, assistant_jobs, read_dialogues, user_jobs


@user_errors(TtsError)
def main(arguments: list[str] | None = None) -> None:
    default = SpeakConfig(())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--sets", nargs="+", default=["train", "dev", "test"], help="<set> of data/qa_<set>")
    voices = "backend:name[@speed] separated by commas; a back-end alone: all its voices"
    parser.add_argument("--voices", default="kokoro", help=f"the users': {voices}")
    parser.add_argument("--voice", default="kokoro:af_heart", help="the assistant's, one")
    parser.add_argument("--dialogues", type=int, default=default.dialogues, help="how many are spoken, 0: all")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="turns of each, from its start")
    parser.add_argument("--sentences", type=int, default=200, help="sentences of the assistant")
    parser.add_argument("--program", default="", help="for `program:` voices, a command line with {output}")
    parser.add_argument("--text_style", default=default.text_style, help="of the assistant's sentences (as in 2.2)")
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args(arguments)
    folders = TtsFolders(program=args.program)
    users = tuple(voice for word in args.voices.split(",") for voice in all_of(word, folders))
    config = SpeakConfig(users, args.voice, args.dialogues, args.rounds, args.sentences, text_style=args.text_style)
    for name in args.sets:
        source = args.data / f"qa_{name}"
        dialogues = read_dialogues(source / "dialogues.jsonl")
        for role in ("asr", "tts"):
            refuse_recordings(args.data / f"{role}_{name}")
        for role, jobs in (("asr", user_jobs(dialogues, config)), ("tts", assistant_jobs(dialogues, config))):
            folder = args.data / f"{role}_{name}"
            if not jobs:
                raise TableError(f"{source}: nothing in it can be spoken into {folder}")
            seconds = write_spoken_set(folder, jobs, synthesize(jobs, folders, args.nj))
            print(f"{folder}: {len(jobs)} utterances, {seconds / 60:.1f} min")


def all_of(word: str, folders: TtsFolders) -> list[str]:
    """The voice itself, or every voice of a back-end. Raises TtsError if there is none."""
    if ":" in word:
        return [word]
    names = available_voices(folders).get(word, [])
    if not names:
        raise TtsError(f"no voices of '{word}' here; run tools/installers/get_{word}.sh, or give backend:name")
    return [f"{word}:{name}" for name in names]


if __name__ == "__main__":
    main()
