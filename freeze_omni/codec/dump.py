"""Tokens and voices of a data directory, batch by batch; a killed run resumes."""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from freeze_omni.codec.codec import Codec
from freeze_omni.codec.quantiser import fixed_voice
from freeze_omni.data.audio import read_audio
from freeze_omni.data.corpora.shards import write_sorted
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.table_file import TableFile
from freeze_omni.data.tables import each_line, whole_file
from freeze_omni.shapes import pad_rows

BATCH_UTTERANCES = 64
Found = dict[str, tuple[list[int], NDArray]]  # utterance -> its tokens, its global code


def dump_tokens(
    codec: Callable[[], Codec], data_dir: Path, output_dir: Path, batch_s: float = 60.0, part: Part = WHOLE
) -> int:
    """Write the tables `tokens`, `voices` and, with utt2spk, `speakers`; returns the utterances.

    codec: gives the codec, if any batch is left. part: makes its batches alone. Memory grows with the utterances of a
    speaker, not with the set.
    Finished batches are kept in `output_dir`/parts until all are done.
    Raises TableError, AudioError: wav.scp or an utterance cannot be read.
    """
    recordings = TableFile(data_dir / "wav.scp")
    parts = output_dir / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    batches = part.of(recordings.pieces(BATCH_UTTERANCES))

    def work(lines: range) -> int:
        kept, batch = _kept(parts, lines), dict(map(recordings.item, lines))
        if _finished(kept).keys() != batch.keys():
            _keep(kept, _encode(codec(), batch, batch_s))
        return len(batch)

    done = sum(parallel_map(work, batches, nj=1, title="codec_dump"))
    if not part.alone:
        return done
    _write([_kept(parts, lines) for lines in batches], data_dir, output_dir)
    shutil.rmtree(parts)
    return done


def _kept(parts: Path, lines: range) -> Path:
    return parts / f"{lines.start:08d}-{lines.stop:08d}.npz"


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


def _write(batches: Sequence[Path], data_dir: Path, output_dir: Path) -> None:
    def each() -> Iterator[tuple[str, tuple[list[int], NDArray]]]:
        return chain.from_iterable(_finished(path).items() for path in batches)

    write_sorted(output_dir / "voices", (f"{uid} {_written(voice)}" for uid, (_, voice) in each()))
    if (data_dir / "utt2spk").exists():
        voices, speakers = TableFile(output_dir / "voices"), TableFile(data_dir / "utt2spk")
        write_sorted(output_dir / "speakers", _speakers(voices, speakers, output_dir))
    tokens = (f"{uid} {' '.join(map(str, tokens))}" for uid, (tokens, _) in each())
    write_sorted(output_dir / "tokens", tokens)  # the last: with it the set is whole


def _speakers(voices: TableFile, speakers: TableFile, folder: Path) -> Iterator[str]:
    """A line for each speaker: the fixed voice of its utterances."""
    pairs = folder / ".spk2utt"
    write_sorted(pairs, (f"{speaker} {uid}" for uid, speaker in speakers.sorted_items()))
    for speaker, rows in groupby(map(str.split, each_line(pairs)), key=lambda row: row[0]):
        codes = [read_voice(voices[uid]) for _, uid in rows if uid in voices]
        if codes:
            yield f"{speaker} {_written(fixed_voice(torch.stack(codes))[0].numpy())}"
    pairs.unlink()


def _written(voice: NDArray) -> str:
    floating = voice.dtype.kind == "f"
    return " ".join(f"{value:#.9g}" if floating else str(value) for value in voice.tolist())


def read_voice(line: str) -> torch.Tensor:
    """The global code (N,) that a line of `voices` or `speakers` holds: long, or float."""
    return torch.tensor([float(word) if "." in word else int(word) for word in line.split()])


def _save(path: Path, arrays: dict[str, NDArray]) -> None:
    # not np.savez: it takes the names as its own arguments, and a speaker may be called `file`
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for key in sorted(arrays):
            with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(arrays[key]))
