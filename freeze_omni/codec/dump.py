"""Tokens and voices of a data directory, batch by batch; a killed run resumes."""

import zipfile
from collections.abc import Callable, Iterator
from itertools import batched
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from freeze_omni.codec.codec import Codec
from freeze_omni.codec.quantiser import fixed_voice
from freeze_omni.data.audio import read_audio
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tables import read_table, whole_file, write_table
from freeze_omni.shapes import pad_rows

BATCH_UTTERANCES = 64
Found = dict[str, tuple[list[int], NDArray]]  # utterance -> its tokens, its global code


def dump_tokens(
    codec: Callable[[], Codec], data_dir: Path, output_dir: Path, batch_s: float = 60.0, part: Part = WHOLE
) -> int:
    """Write `tokens`, `voices.npz` and, with utt2spk, `speakers.npz`; returns the utterances.

    codec: gives the codec, if any batch is left. part: makes its batches alone.
    Finished batches are kept in `output_dir`/parts until all are done.
    Raises TableError, AudioError: wav.scp or an utterance cannot be read.
    """
    recordings = read_table(data_dir / "wav.scp")
    parts = output_dir / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    batches = part.of([(parts / f"{number:05d}.npz", batch) for number, batch in _batches(recordings)])
    found: Found = {}

    def work(numbered: tuple[Path, tuple[str, ...]]) -> Found:
        kept, batch = numbered
        made = _finished(kept)
        if made.keys() != set(batch):
            made = _encode(codec(), {utterance: recordings[utterance] for utterance in batch}, batch_s)
            _keep(kept, made)
        return {utterance: made[utterance] for utterance in batch}

    for batch in parallel_map(work, batches, nj=1, title="codec_dump"):
        found |= batch
    if not part.alone:
        return len(found)
    _write(found, data_dir, output_dir)
    for part in parts.iterdir():
        part.unlink()
    parts.rmdir()
    return len(found)


def _batches(recordings: dict[str, str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The set alone decides them: a rerun, or another number of jobs, makes the same."""
    return enumerate(batched(recordings, BATCH_UTTERANCES))


@torch.no_grad()
def _encode(codec: Codec, recordings: dict[str, str], batch_s: float) -> Found:
    hz = codec.config.sample_rate_hz
    device = next(codec.parameters()).device
    wavs = {uid: torch.from_numpy(read_audio(entry, hz)[0]) for uid, entry in recordings.items()}
    found: Found = {}
    for group in _groups(wavs, int(batch_s * hz)):
        wav, lengths = pad_rows([wavs[uid] for uid in group])
        tokens, sizes, voices = codec.encode(wav.to(device), lengths.to(device))
        for row, uid in enumerate(group):
            found[uid] = tokens[row, : int(sizes[row])].tolist(), voices[row].cpu().numpy()
    return found


def _groups(wavs: dict[str, torch.Tensor], samples: int) -> Iterator[list[str]]:
    """Utterances of similar length, as many as fit into `samples` with their padding."""
    group: list[str] = []
    for uid in sorted(wavs, key=lambda uid: -len(wavs[uid])):
        if group and len(wavs[group[0]]) * (len(group) + 1) > samples:
            yield group
            group = []
        group.append(uid)
    if group:
        yield group


def _keep(path: Path, found: Found) -> None:
    arrays = {f"tokens/{uid}": np.asarray(tokens) for uid, (tokens, _) in found.items()}
    arrays |= {f"voice/{uid}": voice for uid, (_, voice) in found.items()}
    _save(path, arrays)


def _finished(path: Path) -> Found:
    if not path.exists():
        return {}
    with np.load(path) as content:
        ids = [key.removeprefix("tokens/") for key in content.files if key.startswith("tokens/")]
        return {uid: (content[f"tokens/{uid}"].tolist(), content[f"voice/{uid}"]) for uid in ids}


def _write(found: Found, data_dir: Path, output_dir: Path) -> None:
    _save(output_dir / "voices.npz", {uid: voice for uid, (_, voice) in found.items()})
    if (data_dir / "utt2spk").exists():
        speakers: dict[str, list[NDArray]] = {}
        for uid, speaker in read_table(data_dir / "utt2spk").items():
            if uid in found:
                speakers.setdefault(speaker, []).append(found[uid][1])
        codes = {speaker: torch.from_numpy(np.stack(voices)) for speaker, voices in speakers.items()}
        _save(output_dir / "speakers.npz", {key: fixed_voice(voices)[0].numpy() for key, voices in codes.items()})
    write_table(output_dir / "tokens", {uid: " ".join(map(str, tokens)) for uid, (tokens, _) in found.items()})


def _save(path: Path, arrays: dict[str, NDArray]) -> None:
    # not np.savez: it takes the names as its own arguments, and a speaker may be called `file`
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for key in sorted(arrays):
            with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(arrays[key]))
