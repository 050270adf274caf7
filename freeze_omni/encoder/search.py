"""From letters to words: a beam search over the CTC head's letters, within a lexicon, as a streaming part.

Its hypotheses are sums over alignments (prefix search, Graves 2006) with the words' probabilities. A word is said when
all hypotheses that are left agree on it, or when silence follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.encoder.lexicon import Lexicon
from freeze_omni.shapes import pad_rows
from freeze_omni.streaming import State

NEVER = -1e30
SPREAD = 6364136223846793005  # an odd number that spreads over 64 bits, to tell histories apart


@dataclass(frozen=True)
class SearchConfig:
    """width: hypotheses. weight: of the words' log probabilities next to the letters'. bonus: for each word, against
    the preference for few. margin: a hypothesis this far behind the best (nats) has no say. silence_frames: encoder
    frames without a letter after which the best hypothesis is taken. most: words that may wait to be said.
    chunk_frames: encoder frames of a streaming step; words are said at its end.
    """

    width: int = 16
    weight: float = 1.0
    bonus: float = 2.0
    margin: float = 8.0
    silence_frames: int = 6
    most: int = 10
    chunk_frames: int = 4

    def __post_init__(self) -> None:
        if self.width < 2 or self.silence_frames < 1 or self.margin <= 0:
            raise ValueError("search: width is 2 or more, silence_frames 1 or more, margin above 0")
        if self.most <= self.chunk_frames:
            raise ValueError(f"search: most {self.most} must be above chunk_frames {self.chunk_frames}")


class Said(NamedTuple):
    """words (B, N) numbers in the lexicon, zero after a row's; lengths (B,); ends (B, C) words said up to the end of
    each chunk; until (B, N) the frame at which each word is over, its space included. Both count from the start of the
    call: a word that was over before it has a negative one."""

    words: Tensor
    lengths: Tensor
    ends: Tensor
    until: Tensor


class _Options(NamedTuple):
    """What each hypothesis (B, K) may become. blank, letter: its scores as it is. grown (B, K, letters): with
    one more letter, in the node `child`. ended: with its `word` ended, which gains `gain`."""

    blank: Tensor
    letter: Tensor
    grown: Tensor
    ended: Tensor
    child: Tensor
    word: Tensor
    gain: Tensor


class WordSearch(nn.Module):
    """labels (letters,): of the CTC head, for each letter of the lexicon. blank, space: further labels."""

    def __init__(self, config: SearchConfig, lexicon: Lexicon, labels: list[int], space: int, blank: int = 0) -> None:
        super().__init__()
        self.config, self.lexicon, self.space, self.blank = config, lexicon, space, blank
        self.register_buffer("labels", torch.tensor(labels), persistent=False)

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        """Nothing heard: of each hypothesis (B, K) its scores, place in the trie and history, and frames since each of
        its waiting words was over; silent (B,) frames."""
        device = device or self.labels.device
        width, most = self.config.width, self.config.most
        whole = {"dtype": torch.long, "device": device}
        score = torch.full((batch_size, width), NEVER, device=device)
        score[:, 0] = 0.0
        return {
            "blank": score,
            "letter": torch.full_like(score, NEVER),
            "prior": torch.zeros_like(score),
            "node": torch.zeros(batch_size, width, **whole),
            "last": torch.full((batch_size, width), -1, **whole),
            "previous": torch.full((batch_size, width), -1, **whole),
            "history": torch.zeros(batch_size, width, **whole),
            "waiting": torch.full((batch_size, width, most), -1, **whole),
            "since": torch.zeros(batch_size, width, most, **whole),
            "count": torch.zeros(batch_size, width, **whole),
            "silent": torch.zeros(batch_size, **whole),
        }

    @property
    def end_chunks(self) -> int:
        """Chunks of silence after which nothing waits to be said."""
        return -(-self.config.silence_frames // self.config.chunk_frames)

    def forward(self, logits: Tensor, lengths: Tensor, end: bool = False) -> Said:
        """Logits (B, T, V), lengths (B,): all at once. end: as if silence followed."""
        if end:
            frames = self.end_chunks * self.config.chunk_frames
            padding = nn.functional.pad(logits, (0, 0, 0, frames))
            silence = torch.full_like(logits[0, 0], NEVER)
            silence[self.blank] = 0.0
            after = torch.arange(padding.shape[1], device=logits.device) >= lengths[:, None]
            logits, lengths = torch.where(after[..., None], silence, padding), lengths + frames
        return self.search(logits, lengths, self.initial_state(len(logits), logits.device))[0]

    @torch.no_grad()
    def step(self, logits: Tensor, state: State) -> tuple[Said, State]:
        """Whole chunks of logits (B, k * chunk_frames, V)."""
        return self.search(logits, torch.full((len(logits),), logits.shape[1], device=logits.device), state)

    @torch.no_grad()
    def search(self, logits: Tensor, lengths: Tensor, state: State) -> tuple[Said, State]:
        """Logits (B, T, V), lengths (B,): what is said in them, and the state after each row's last frame."""
        scores, chunk = logits.float().log_softmax(-1), self.config.chunk_frames
        rows: list[list[list[int]]] = [[] for _ in range(len(logits))]
        ends = []
        for begin in range(0, logits.shape[1], chunk):
            for frame in range(begin, min(begin + chunk, logits.shape[1])):
                heard = frame < lengths
                new = self._frame(scores[:, frame], state)
                state = {key: _choose(heard, new[key], state[key]) for key in state}
            said, told = self._say(state)
            goes_on = begin < lengths  # a row that is over says no more
            state = {key: _choose(goes_on, told[key], state[key]) for key in state}
            now = lengths.clamp_max(begin + chunk)
            for row in goes_on.nonzero()[:, 0].tolist():
                rows[row].extend([word, int(now[row]) - ago] for word, ago in zip(*said[row], strict=True))
            ends.append([len(row) for row in rows])
        found = [torch.tensor(row, dtype=torch.long, device=logits.device).reshape(-1, 2) for row in rows]
        words, lengths = pad_rows(found)
        ends = torch.tensor(ends, device=logits.device).reshape(-1, len(rows)).T
        return Said(words[..., 0], lengths, ends, words[..., 1]), state

    def _frame(self, scores: Tensor, state: State) -> State:
        """Log probabilities (B, V) of one frame."""
        options = self._options(scores, state)
        silent = scores.argmax(-1)
        silent = (silent == self.blank) | (silent == self.space)
        return self._follow(options, self._best(options, state), state) | {"silent": (state["silent"] + 1) * silent}

    def _options(self, scores: Tensor, state: State) -> _Options:
        """Each hypothesis as it is, with one more letter, and with its word ended, after a frame (B, V)."""
        node, last = state["node"], state["last"]
        whole = torch.logaddexp(state["blank"], state["letter"])
        # as it is: a blank, or its last label again; a space between words is as good as a blank
        quiet = scores[:, self.blank, None]
        quiet = torch.where(node == 0, torch.logaddexp(quiet, scores[:, self.space, None]), quiet)
        again = scores.gather(1, last.clamp_min(0)).masked_fill((last < 0) | (node == 0), NEVER)
        blank, letter = whole + quiet, (state["letter"] + again).clamp_min(NEVER)
        child = self.lexicon.followers[node].long()
        # the same letter once more needs a blank before it
        ready = torch.where(self.labels == last[..., None], state["blank"][..., None], whole[..., None])
        grown = (ready + scores[:, self.labels][:, None]).masked_fill(child == 0, NEVER)
        word = self.lexicon.word[node].long()
        ended = (whole + scores[:, self.space, None]).masked_fill(word < 0, NEVER)
        # what grows into a hypothesis that is there already adds to it
        key = state["history"] * SPREAD + node
        grown, letter = _merge(grown, state["history"][..., None] * SPREAD + child, key, letter)
        ended, blank = _merge(ended[..., None], (_longer(state["history"], word) * SPREAD)[..., None], key, blank)
        return _Options(blank, letter, grown, ended[..., 0], child, word, self._gain(state, word))

    def _with_word(self, state: State, ends: Tensor, word: Tensor, since: Tensor) -> State:
        """What a hypothesis remembers of its words, with `word` after them where it ends (B, K), `since` frames ago."""
        place = torch.arange(self.config.most, device=word.device) == state["count"][..., None]
        return {
            "previous": torch.where(ends, word, state["previous"]),
            "history": torch.where(ends, _longer(state["history"], word), state["history"]),
            "waiting": torch.where(place & ends[..., None], word[..., None], state["waiting"]),
            "since": torch.where(place & ends[..., None], since[..., None], state["since"]),
            "count": state["count"] + ends,
        }

    def _gain(self, state: State, word: Tensor) -> Tensor:
        """What each hypothesis gains by the end of its word (B, K)."""
        return self.config.weight * self.lexicon.after(state["previous"], word.clamp_min(0)) + self.config.bonus

    def _best(self, options: _Options, state: State) -> Tensor:
        """Numbers of the best options (B, K): first the hypotheses as they are, then grown ones, then ended ones."""
        prior, ahead = state["prior"], self.config.weight * self.lexicon.best
        stay = torch.logaddexp(options.blank, options.letter) + prior + ahead[state["node"]]
        grown = options.grown + prior[..., None] + ahead[options.child]
        ended = options.ended + prior + options.gain + ahead[0]
        return torch.cat([stay, grown.flatten(1), ended], dim=1).topk(self.config.width, dim=1).indices

    def _follow(self, options: _Options, best: Tensor, state: State) -> State:
        """The hypotheses that the best options become."""
        width, letters = self.config.width, options.child.shape[2]
        stays, ends = best < width, best >= width * (1 + letters)
        grows = (best - width).clamp(0, width * letters - 1)
        parent = torch.where(stays, best, torch.where(ends, best - width * (1 + letters), grows // letters))
        old = {name: _pick(values, parent) for name, values in state.items() if name != "silent"}
        blank, letter, ended, gain, word = (
            values.gather(1, parent)
            for values in (options.blank, options.letter, options.ended, options.gain, options.word)
        )
        grown, node = options.grown.flatten(1).gather(1, grows), options.child.flatten(1).gather(1, grows)
        old["since"] = old["since"] + 1
        return {
            **self._with_word(old, ends, word, torch.zeros_like(word)),
            "blank": torch.where(stays, blank, torch.where(ends, ended, NEVER)),
            "letter": torch.where(stays, letter, torch.where(ends, NEVER, grown)),
            "prior": old["prior"] + torch.where(ends, gain, 0.0),
            "node": torch.where(stays, old["node"], node.masked_fill(ends, 0)),
            "last": torch.where(stays, old["last"], self.labels[grows % letters].masked_fill(ends, -1)),
        }

    def _say(self, state: State) -> tuple[list[tuple[list[int], list[int]]], State]:
        """The words that are certain now, of each row, with the frames since they were over; the state without them."""
        config = self.config
        state = self._after_silence(state)
        score = self._rank(state)
        live = score > score[:, :1] - config.margin
        waiting, count = state["waiting"], state["count"]
        agreed = ((waiting == waiting[:, :1]) | ~live[..., None]).all(1) & (waiting[:, 0] >= 0)
        known = torch.arange(config.most, device=waiting.device) < count[:, :1]
        said = (agreed & known).long().cumprod(1).sum(1)
        room = config.most - config.chunk_frames  # for what the next chunk may end
        said = torch.maximum(said, count[:, 0] - room)
        best = zip(waiting[:, 0].tolist(), state["since"][:, 0].tolist(), said.tolist(), strict=True)
        words = [(row[:number], since[:number]) for row, since, number in best]
        place = torch.arange(config.most, device=waiting.device)
        mine = (waiting == waiting[:, :1]) | (place >= said[:, None])[:, None]
        left = count - said[:, None]
        drop = ~mine.all(2) | (left < 0) | (left > room)
        shifted = (place + said[:, None]).clamp_max(config.most - 1)[:, None].expand_as(waiting)
        moved, since = waiting.gather(2, shifted), state["since"].gather(2, shifted)
        moved = moved.masked_fill((place + said[:, None] >= config.most)[:, None], -1)
        prior = state["prior"] - state["prior"][:, :1]
        state = dict(state, waiting=moved, since=since, count=left.clamp(0, room), prior=prior)
        level = torch.logaddexp(state["blank"], state["letter"])[:, :1]  # scores stay near 0, however long it listens
        for name in ("blank", "letter"):
            state[name] = (state[name] - level).clamp_min(NEVER).masked_fill(drop, NEVER)
        return words, state

    def _after_silence(self, state: State) -> State:
        """Where silence has come, the best hypothesis that is no half word is left alone, with its last word ended."""
        config, node = self.config, state["node"]
        word = self.lexicon.word[node].long()
        ends = word >= 0
        gained = self._gain(state, word)
        whole = torch.logaddexp(state["blank"], state["letter"])
        score = whole + state["prior"] + torch.where(ends, gained, 0.0)
        score = score.masked_fill(~ends & (node > 0), NEVER)
        best = score.argmax(1, keepdim=True)
        over = (state["silent"] >= config.silence_frames) & (score.gather(1, best)[:, 0] > NEVER / 2)
        ended = {
            **self._with_word(state, ends, word, state["silent"][:, None].expand_as(word)),
            "blank": whole,
            "letter": torch.full_like(whole, NEVER),
            "prior": state["prior"] + torch.where(ends, gained, 0.0),
            "node": torch.zeros_like(node),
            "last": torch.full_like(node, -1),
        }
        alone = {name: _pick(values, best.expand_as(node)) for name, values in ended.items()}
        alone["blank"][:, 1:] = NEVER
        return {**{name: _choose(over, alone[name], state[name]) for name in alone}, "silent": state["silent"]}

    def _rank(self, state: State) -> Tensor:
        whole = torch.logaddexp(state["blank"], state["letter"])
        return whole + state["prior"] + self.config.weight * self.lexicon.best[state["node"]]


def _longer(history: Tensor, word: Tensor) -> Tensor:
    """The history with one more word."""
    return history * SPREAD + word + 1


def _merge(grown: Tensor, grown_key: Tensor, key: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """grown (B, K, L) that has the key of one of the hypotheses (B, K) goes over into its score (B, K)."""
    there = grown_key.flatten(1)[:, :, None] == key[:, None]  # (B, K * L, K)
    joined = torch.where(there, grown.flatten(1)[:, :, None], NEVER)
    score = torch.logaddexp(score, joined.logsumexp(1))
    return grown.masked_fill(there.any(2).view_as(grown), NEVER), score


def _pick(values: Tensor, parent: Tensor) -> Tensor:
    if values.dim() == 3:
        parent = parent[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, parent)


def _choose(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(rows.reshape(-1, *[1] * (new.dim() - 1)), new, old)
