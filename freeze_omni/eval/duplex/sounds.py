"""What scenes are made from: spoken sentences of Kaldi directories, or of the dialogue sets of stage 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.audio import Wav, read_audio, trim_silence
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.eval.decode.sets import read_jsonl
from freeze_omni.eval.duplex.scene import KINDS

NOT_FOR_IT = ("backchannel", "side")  # utterances of these kinds begin with them: side-0003
_QUESTION = "question"
_DIALOGUE_KINDS = {"complete": _QUESTION, "backchannel": "backchannel", "side": "side"}


@dataclass(frozen=True)
class Sound:
    """One sentence. span_s: where it is in its file, known; None: all but the silence around it. speaker: if known."""

    kind: str
    entry: str
    text: str
    span_s: tuple[float, float] | None = None
    speaker: str = ""

    def read(self, hz: int) -> Wav:
        """Samples (S,). Raises AudioError."""
        wav, _ = read_audio(self.entry, hz)
        if self.span_s is None:
            return trim_silence(wav, hz, keep_s=0.0)
        return wav[round(self.span_s[0] * hz) : round(self.span_s[1] * hz)]


def read_sounds(folder: Path) -> list[Sound]:
    """Of a dialogue set (with `scene`) its whole turns, backchannels and side talk, cut out where they are; of another
    directory every utterance, by its id. Raises TableError.
    """
    wavs, texts = read_table(folder / "wav.scp"), read_table(folder / "text", need_value=False)
    missing = [key for key in wavs if key not in texts]
    if missing:
        raise TableError(f"{folder / 'text'}: {missing[0]} of wav.scp is not in it; add its words")
    speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    if not (folder / "scene").is_file():
        return [Sound(_kind(key), entry, texts[key], None, speakers.get(key, "")) for key, entry in wavs.items()]
    sounds = []
    for key, scene in read_jsonl(folder / "scene").items():
        try:
            first, *others = scene["segments"]
            kind, span_s = _DIALOGUE_KINDS.get(first["kind"]), (float(first["start_s"]), float(first["end_s"]))
        except (KeyError, ValueError, TypeError):
            raise TableError(f"{folder / 'scene'}: {key} has no segments of kind, start_s, end_s; redo it") from None
        if key not in wavs:
            raise TableError(f"{folder / 'scene'}: {key} is not in wav.scp; make the set again")
        if kind and not others and not scene.get("pauses"):
            sounds.append(Sound(kind, wavs[key], texts[key], span_s, speakers.get(key, "")))
    return sounds


class Pools:
    """Sounds by what they can be in a scene. Raises TableError without a question."""

    def __init__(self, sounds: Sequence[Sound]) -> None:
        self.questions = [one for one in sounds if one.kind == _QUESTION]
        if not self.questions:
            raise TableError("--data: no user's question in it: add a directory with some")
        self.of = {kind: [one for one in sounds if one.kind == kind] for kind in NOT_FOR_IT}
        self.of |= {"background": self.of["side"] or self.questions, "noise": self.questions}

    def kinds(self) -> list[str]:
        """The kinds of scenes that these sounds can make."""
        return [kind for kind in KINDS if kind not in NOT_FOR_IT or self.of[kind]]


def _kind(utterance: str) -> str:
    return next((kind for kind in NOT_FOR_IT if utterance.startswith(f"{kind}-")), _QUESTION)
