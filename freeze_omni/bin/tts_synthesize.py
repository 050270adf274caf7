"""Speak a `text` file: writes wav.scp, utt2spk and spk2utt next to it. Earlier speech is kept."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.kaldi_dir import refuse_recordings, write_spoken_set
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.data.tts.backends import TtsError, Voice
from freeze_omni.data.tts.synthesize import Job, TtsFolders, synthesize


@user_errors(TtsError)
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a directory with `text` and optionally utt2voice")
    voices = "backend:name[@speed], several separated by commas or spaces: used in turn without utt2voice"
    parser.add_argument("--voices", default="kokoro:af_heart", help=voices)
    parser.add_argument("--cache", default="", help="folder of voices and spoken sentences")
    parser.add_argument("--program", default="", help="for `program:` voices, a command line with {output}")
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args(arguments)
    refuse_recordings(args.folder)
    jobs = deal(read_table(args.folder / "text"), args.folder / "utt2voice", args.voices.replace(",", " ").split())
    paths = synthesize(jobs, TtsFolders(cache=args.cache, program=args.program), args.nj)
    seconds = write_spoken_set(args.folder, jobs, paths)
    print(f"{args.folder}: {len(jobs)} utterances, {seconds:.0f} s of speech")


def deal(texts: dict[str, str], utt2voice: Path, voices: list[str]) -> list[Job]:
    """One job an utterance: the voice of utt2voice, else the given ones in turn."""
    chosen = read_table(utt2voice) if utt2voice.exists() else {}
    missing = [key for key in texts if chosen and key not in chosen]
    if missing:
        raise TableError(f"{utt2voice}: no voice for {missing[0]}; add a line `{missing[0]} backend:name`")
    turns = {key: chosen.get(key, voices[i % len(voices)]) for i, key in enumerate(texts)}
    return [Job(key, text, Voice.parse(turns[key])) for key, text in texts.items()]


if __name__ == "__main__":
    main()
