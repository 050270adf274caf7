"""The listening chain (paper section 3.1): samples -> features -> encoder frames -> CTC logits -> LLM positions.

Training, evaluation and sessions all listen through this one part, all at once or in steps.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.adapter.output import AdapterOutput
from freeze_omni.duplex.reference import SIZE as REFERENCE_SIZE
from freeze_omni.duplex.reference import EchoReference
from freeze_omni.encoder.search import Said
from freeze_omni.encoder.transcriber import Transcriber, up_to
from freeze_omni.shapes import silence_padding
from freeze_omni.streaming import Augment, State, join_parts, part_state


class ListeningOutput(NamedTuple):
    """What was made of the samples.

    feats (B, F, bins): features. frames (B, T, D): encoder frames, lengths (B,) of them. logits (B, T, V): of the CTC
    head. adapted: positions for the LLM, None without an adapter. before (B,): CTC unit before the first frame. said:
    the words of a model with a word search, or the LLM's tokens for those of a transcriber.
    """

    feats: Tensor
    frames: Tensor
    lengths: Tensor
    logits: Tensor
    adapted: AdapterOutput | None
    before: Tensor
    said: Said | None = None


class Listening:
    """Features, encoder, CTC head and adapter as one streaming part, which refers to them and holds no weights.
    search: from the head's letters to words, for CTC units of kind `word`; chunk_samples: of a streaming step;
    reference: of a model whose state head reads what the system plays, which comes with each chunk's summary;
    transcriber: says the words in place of a search, from what the frontend hears."""

    def __init__(
        self,
        frontend: Any,
        encoder: Any,
        ctc: Any,
        adapter: Any = None,
        search: Any = None,
        chunk_samples: int = 2560,
        reference: EchoReference | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        self.frontend, self.encoder, self.ctc, self.adapter, self.search = frontend, encoder, ctc, adapter, search
        self.chunk_samples, self.reference, self.transcriber = chunk_samples, reference, transcriber

    @property
    def delay_samples(self) -> int:
        """How much later than its sound a frame comes: the look-ahead of the frontend."""
        return self.frontend.delay_samples

    @property
    def end_samples(self) -> int:
        """Silence after which all that was said is there: the delay, and what the word search waits for."""
        says = self.transcriber or self.search
        chunks = 0 if says is None else says.end_chunks
        return self.delay_samples + chunks * self.chunk_samples

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        """A stream that has heard nothing; keys are `<part>.<key of the part's state>`."""
        parts = {"frontend": self.frontend, "encoder": self.encoder, "ctc": self.ctc}
        if self.adapter is not None:
            parts["adapter"] = self.adapter
        if self.search is not None:
            parts["search"] = self.search
        if self.transcriber is not None:
            parts["transcriber"] = self.transcriber
        if self.reference is not None:
            parts["reference"] = self.reference
        return join_parts({name: part.initial_state(batch_size, device) for name, part in parts.items()})

    def step(self, wav: Tensor, state: State, played: Tensor | None = None) -> tuple[ListeningOutput, State]:
        """Whole chunks of samples (B, k * chunk_samples) in [-1, 1]; played: what the system played meanwhile, as many,
        None for nothing. Raises ValueError for other sizes."""
        heard = {name: part_state(state, name) for name in ("frontend", "transcriber")}
        feats, said, after = self._hear(wav, heard)
        frames, after["encoder"] = self.encoder.step(feats, part_state(state, "encoder"))
        logits = self.ctc(frames)
        before = part_state(state, "ctc")
        after["ctc"] = self.ctc.advance(logits, before)
        adapted = None
        if self.search is not None:
            said, after["search"] = self.search.step(logits, part_state(state, "search"))
        if self.adapter is not None:
            adapter = part_state(state, "adapter")
            adapted, after["adapter"] = self.adapter.step(frames, adapter, ctc_logits=logits, said=said)
        if self.reference is not None:
            played = torch.zeros_like(wav) if played is None else played
            rows, after["reference"] = self.reference.step(wav, played, part_state(state, "reference"))
            adapted = None if adapted is None else _with_rows(adapted, rows)
        lengths = torch.full((len(wav),), frames.shape[1], device=frames.device)
        return ListeningOutput(feats, frames, lengths, logits, adapted, before["unit"], said), join_parts(after)

    def forward(
        self, wav: Tensor, lengths: Tensor, chunk_size: int | None = None, augment: Augment | None = None
    ) -> ListeningOutput:
        """All of the samples (B, S) with their lengths (B,) at once; padding may hold anything. Features (B, F, D) in
        place of samples, with their lengths, skip the frontend.

        chunk_size: encoder frames of a chunk, 0 for infinite, None as configured. augment: SpecAugment on the features.
        """
        feats, sizes, said = self.hear_all(wav, lengths)
        frames, sizes = self.encoder(feats, sizes, chunk_size, augment=augment)
        logits = self.ctc(frames)
        if self.search is not None:  # features, as they are computed once, need not end in silence
            said = self.search(logits, sizes, end=wav.dim() == 3)
        adapted = None if self.adapter is None else self.adapter(frames, sizes, ctc_logits=logits, said=said)
        if self.reference is not None and adapted is not None:  # nothing is played where all is heard at once
            adapted = _with_rows(adapted, adapted.summary.new_zeros(*adapted.summary.shape[:2], REFERENCE_SIZE))
        before = self.ctc.initial_state(len(wav), frames.device)["unit"]
        return ListeningOutput(feats, frames, sizes, logits, adapted, before, said)

    __call__ = forward

    def _hear(self, wav: Tensor, state: dict[str, State]) -> tuple[Tensor, Said | None, dict[str, State]]:
        """Whole chunks of samples to features, what the transcriber says, and the states of the two."""
        if self.transcriber is None:
            feats, after = self.frontend.step(wav, state["frontend"])
            return feats, None, {"frontend": after}
        heard, ahead, frontend = [], [], state["frontend"]
        levels = wav.unflatten(1, (-1, self.chunk_samples)).square().mean(2).sqrt()
        awake = ~self.transcriber.rests(levels, state["transcriber"])
        for number, chunk in enumerate(wav.split(self.chunk_samples, dim=1)):
            feats, frontend = self.frontend.step(chunk, frontend)
            heard.append(feats)
            ahead.append(self._ahead(awake[:, number], frontend))
        feats = torch.cat(heard, dim=1)
        frames = feats.reshape(len(wav), -1, feats.shape[2] // self.transcriber.stack)
        said, after = self.transcriber.step(frames, torch.stack(ahead, dim=1), levels, state["transcriber"])
        return feats, said, {"frontend": frontend, "transcriber": after}

    def _ahead(self, rows: Tensor, state: State) -> Tensor:
        """The silence that is heard ahead (B, A, size) of these rows (B,); of others nothing is computed."""
        chunks = self.transcriber.config.silence_chunks
        if bool(rows.all()):
            return self.frontend.ahead(chunks, state)
        size = (len(rows), chunks * self.transcriber.chunk_frames, self.transcriber.net.config.d_model)
        none = state["samples"].new_zeros(size)
        if not bool(rows.any()):
            return none
        some = self.frontend.ahead(chunks, {name: value[rows] for name, value in state.items()})
        return none.index_put((rows,), some.to(none.dtype))

    def hear_all(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Said | None]:
        """Samples (B, S), lengths (B,) to features (B, F, D), lengths of them, and what a transcriber says."""
        if self.transcriber is None:
            return *self.features(wav, lengths), None
        if wav.dim() == 3:
            raise ValueError("a transcriber hears sound, not features: give samples")
        parts = {"frontend": self.frontend, "transcriber": self.transcriber}
        counts, frames = lengths // self.frontend.shift_samples, wav.shape[1] // self.frontend.shift_samples
        wav = nn.functional.pad(silence_padding(wav, lengths), (0, -wav.shape[1] % self.chunk_samples))
        state = {name: part.initial_state(len(wav), wav.device) for name, part in parts.items()}
        feats, said, _ = self._hear(wav, state)
        return feats[:, :frames], counts, up_to(said, -(-lengths // self.chunk_samples))

    def with_end(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Recordings (B, S), lengths (B,) with the silence after them in which their last frames come; features
        (B, F, D) as they are."""
        end = self.end_samples
        if wav.dim() == 3 or not end:
            return wav, lengths
        return silence_padding(nn.functional.pad(wav, (0, end)), lengths), lengths + end

    def features(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (B, S), lengths (B,) to features (B, F, D), lengths; features as they are."""
        return (wav, lengths) if wav.dim() == 3 else self.frontend(wav, lengths)

    def units(self, out: ListeningOutput) -> list[list[int]]:
        """CTC units that each row spells, or words; in steps those that start in the step."""
        if out.said is not None:
            return [row[:size].tolist() for row, size in zip(out.said.words, out.said.lengths.tolist(), strict=True)]
        return self.ctc.units(out.logits, out.lengths, out.before)


def _with_rows(adapted: AdapterOutput, rows: Tensor) -> AdapterOutput:
    """The rows (B, C, SIZE) of the echo reference after each chunk's summary."""
    return adapted._replace(summary=torch.cat([adapted.summary, rows.to(adapted.summary.dtype)], dim=-1))
