"""Training rows joined to longer ones, so that a sentence may start anywhere, not always with the recording.

If a recording is one sentence, its first unit is labelled at the first frame, before it is heard, and stays a guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freeze_omni.duplex.scenes import quietest
from freeze_omni.shapes import pad_rows


@dataclass(frozen=True)
class JoinConfig:
    """How utterances of a batch are joined; ranges are (least, most).

    utterances: number that become one row. gap_s: seconds of faint noise around each, also after the last: a unit is
    recognised in the chunk after it, and users are heard for a while after they end. gap_db: its level against full
    scale. trim_db: edges this much (below 0) under an utterance's loudest 10 ms are cut off; None leaves them. A fifth
    of synthetic speech is silence around it. paused: share of the utterances that get a pause inside, at the quietest
    place of their middle: if silence only follows sentences, it is heard as their end. pause_s: its length, seconds.
    """

    utterances: int = 2
    gap_s: tuple[float, float] = (0.0, 0.6)
    gap_db: tuple[float, float] = (-90.0, -50.0)
    trim_db: float | None = None
    paused: float = 0.0
    pause_s: tuple[float, float] = (0.2, 0.9)

    def __post_init__(self) -> None:
        if self.utterances < 1:
            raise ValueError("join: utterances is a count")
        if not 0 <= self.gap_s[0] <= self.gap_s[1] or self.gap_db[0] > self.gap_db[1]:
            raise ValueError("join: gap_s and gap_db are (least, most)")
        if not 0 <= self.paused <= 1 or not 0 <= self.pause_s[0] <= self.pause_s[1]:
            raise ValueError("join: paused is a share, pause_s is (least, most)")
        if self.trim_db is not None and not self.trim_db < 0:
            raise ValueError(f"join: trim_db {self.trim_db} is not below 0: edges are cut where they are quieter")


def draw_groups(rows: int, utterances: int) -> list[list[int]]:
    """Rows 0 ... rows - 1 in random groups of `utterances`; the last may be smaller."""
    order = torch.randperm(rows).tolist()
    return [order[start : start + utterances] for start in range(0, rows, utterances)]


def join_sounds(
    speech: Tensor, lengths: Tensor, groups: Sequence[Sequence[int]], config: JoinConfig, hz: int
) -> tuple[Tensor, Tensor]:
    """Speech (B, S), lengths (B,) to one row for each group, (len(groups), S'), lengths: gap, utterance, ... gap."""
    rows = []
    for group in groups:
        pieces = []
        for row in group:
            said = speech[row, : lengths[row]]
            if config.trim_db is not None:
                said = trimmed(said, config.trim_db, hz)
            pieces.append(_gap(config.gap_s, config, hz).to(speech))
            if torch.rand(()) < config.paused:
                quarter = len(said) // 4
                at = quietest(said.cpu().numpy(), quarter, len(said) - quarter, hz)
                pieces += [said[:at], _gap(config.pause_s, config, hz).to(speech), said[at:]]
            else:
                pieces.append(said)
        rows.append(torch.cat([*pieces, _gap(config.gap_s, config, hz).to(speech)]))
    return pad_rows(rows)


def join_features(feats: Tensor, lengths: Tensor, groups: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Features (B, F, D), lengths (B,) to one row for each group, its utterances one after the other."""
    return pad_rows([torch.cat([feats[row, : lengths[row]] for row in group]) for group in groups])


def join_labels(
    labels: Tensor, lengths: Tensor, groups: Sequence[Sequence[int]], between: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    """Labels (B, U), lengths (B,) to those of the groups, `between` two utterances' labels."""
    rows, separator = [], labels.new_tensor(between)
    for group in groups:
        pieces = [piece for row in group for piece in (separator, labels[row, : lengths[row]])]
        rows.append(torch.cat(pieces[1:]))
    return pad_rows(rows, value=-1)


def trimmed(sound: Tensor, trim_db: float, hz: int) -> Tensor:
    """Sound (S,) without those edges, in whole 10 ms, that are `trim_db` (below 0) under its loudest 10 ms."""
    size = hz // 100
    power = sound[: len(sound) // size * size].reshape(-1, size).square().mean(-1)
    if len(power) == 0:
        return sound
    loud = (power > power.max() * 10 ** (trim_db / 10)).nonzero()
    return sound[int(loud[0]) * size : (int(loud[-1]) + 1) * size] if len(loud) else sound


def _gap(length_s: tuple[float, float], config: JoinConfig, hz: int) -> Tensor:
    seconds, db = (least + (most - least) * torch.rand(()).item() for least, most in (length_s, config.gap_db))
    return torch.randn(round(seconds * hz)) * 10 ** (db / 20)
