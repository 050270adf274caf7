"""What the system itself plays while it listens, as an echo reference for the state head (ours, not the paper's).

Of each chunk the head learns whether the system speaks, and how far what the microphone hears is the system's own
voice that comes back: the envelopes of both sides in some bands of the mel scale, compared over the delays that a
loudspeaker, a room and a network cause. Nothing here is trained.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.streaming import State, join_parts, part_state

SIZE = 5
"""Features of a chunk: spoke lately (0 or 1), share of the chunk in which it speaks, likeness of what is heard to what
was played (-1 to 1), level of that against what was played, and what is heard beyond it. All are 0 in its silence."""
LIKENESS = 2
WINDOW_FRAMES = 64
"""0.64 s of 10 ms, over which both sides are compared."""
DELAY_FRAMES = 48
"""The longest delay of an echo, 0.48 s."""
_BANDS = 20
_FLOOR, _LOUD = 12.0, 15.0  # log energies of a band, of sound at some -70 and -55 dB
_STEADY = 0.03 * WINDOW_FRAMES * _BANDS  # the variation below which an envelope looks like no other


class EchoReference(nn.Module):
    """The system's side of a dialogue as a streaming part without weights: (heard, played) samples to rows of features.

    late_chunks: rows come so many chunks after their sound, as those of a frontend that looks ahead.
    """

    def __init__(self, chunk_samples: int, late_chunks: int = 0, sample_hz: int = 16000) -> None:
        super().__init__()
        self.fbank = Fbank(FbankConfig(sample_hz, mel_bins=_BANDS))
        self.chunk_samples, self.late_chunks = chunk_samples, late_chunks
        self.chunk_frames = chunk_samples // self.fbank.config.shift_samples

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        """Neither side has sounded: envelopes (B, frames, bands), rows that are yet to come (B, late_chunks, SIZE)."""
        device = device or self.fbank.mel.device
        parts = {side: self.fbank.initial_state(batch_size, device) for side in ("heard", "played")}
        past = {"heard": WINDOW_FRAMES, "played": WINDOW_FRAMES + DELAY_FRAMES}
        envelopes = {
            side: torch.full((batch_size, frames, _BANDS), _FLOOR, device=device) for side, frames in past.items()
        }
        late = torch.zeros(batch_size, self.late_chunks, SIZE, device=device)
        return join_parts({"samples_" + side: state for side, state in parts.items()}) | envelopes | {"late": late}

    def step(self, heard: Tensor, played: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples (B, k * chunk_samples) of both sides to rows (B, k, SIZE). Raises ValueError for other sizes."""
        if heard.shape != played.shape or heard.shape[1] == 0 or heard.shape[1] % self.chunk_samples:
            sizes = f"{tuple(heard.shape)} and {tuple(played.shape)}"
            raise ValueError(f"a step takes a multiple of {self.chunk_samples} samples of both sides, found {sizes}")
        after: State = {}
        envelopes: dict[str, Tensor] = {}
        for side, wav in (("heard", heard), ("played", played)):
            energies, samples = self.fbank.step(wav, part_state(state, "samples_" + side))
            envelopes[side] = torch.cat([state[side], energies.clamp_min(_FLOOR)], dim=1)
            after |= join_parts({"samples_" + side: samples})
            after[side] = envelopes[side][:, energies.shape[1] :]
        rows = self._rows(envelopes["heard"], envelopes["played"])
        rows = torch.cat([state["late"], rows], dim=1)
        after["late"] = rows[:, rows.shape[1] - self.late_chunks :]
        return rows[:, : heard.shape[1] // self.chunk_samples], after

    def forward(self, heard: Tensor, played: Tensor) -> Tensor:
        """All of both sides (B, k * chunk_samples) at once."""
        return self.step(heard, played, self.initial_state(len(heard), heard.device))[0]

    def newest_likeness(self, row: Tensor, state: State) -> float:
        """Of the last chunk that one dialogue has heard, by the row (SIZE,) that came with it and the state after it:
        with look-ahead that row is of an earlier chunk."""
        late = state["late"][0]
        return float((late[-1] if len(late) else row)[LIKENESS])

    def _rows(self, heard: Tensor, played: Tensor) -> Tensor:
        """Envelopes with what was before them, (B, past + k * chunk_frames, bands), to (B, k, SIZE)."""
        here = heard.unfold(1, WINDOW_FRAMES, self.chunk_frames)[:, 1:]  # (B, k, bands, window)
        there = played.unfold(1, WINDOW_FRAMES + DELAY_FRAMES, self.chunk_frames)[:, 1:]
        delayed = there.unfold(3, WINDOW_FRAMES, 1).transpose(2, 3).flip(2)  # (B, k, delays, bands, window)
        likeness = _likeness(here[:, :, None], delayed)
        best = likeness.argmax(2)
        source = delayed.gather(2, best[:, :, None, None, None].expand(-1, -1, 1, *delayed.shape[3:]))[:, :, 0]
        loud = (source > _LOUD).float()
        gain = ((here - source) * loud).sum((2, 3)) / loud.sum((2, 3)).clamp_min(1)
        now = slice(WINDOW_FRAMES - self.chunk_frames, None)
        beyond = F.relu(here - source - gain[..., None, None])[..., now].mean((2, 3))
        speaks = (there > _LOUD).any(2)  # (B, k, frames)
        lately = speaks.any(2).float()
        features = [
            lately,
            speaks[..., -self.chunk_frames :].float().mean(2),
            likeness.amax(2).clamp(-1, 1),
            (gain / 4).clamp(-3, 1),
            (beyond / 4).clamp(max=2),
        ]
        return torch.stack(features, dim=-1) * lately[..., None]


def _likeness(one: Tensor, other: Tensor) -> Tensor:
    """Correlation of envelopes (..., bands, window), all bands as one, of their changes in time and shape: speech has
    much the same loudness as other speech, and another spectrum. Near 0 where one of them is steady."""
    one, other = _changes(one), _changes(other)
    shared = (one * other).sum((-2, -1))
    return shared / ((one.square().sum((-2, -1)) + _STEADY) * (other.square().sum((-2, -1)) + _STEADY)).sqrt()


def _changes(envelope: Tensor) -> Tensor:
    envelope = envelope - envelope.mean(-1, keepdim=True)
    return envelope - envelope.mean(-2, keepdim=True)
