"""The speech decoder: NAR over the text, prefix over the hidden states, AR over speech tokens.

Paper section 3.3. The AR reads [bos] + NAR(text rows) + [sos] + speech tokens; the keys and values of prefix layer i
come before those of AR layer i. Text rows see each other and the prefix; a speech token sees the prefix, the text and
the speech tokens up to itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.attention import Rotary, rotary_tables
from freeze_omni.shapes import valid_mask
from freeze_omni.speech_decoder import cache as kv
from freeze_omni.speech_decoder import multi_token
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.layer import NORM_EPS, Layer, key_mask
from freeze_omni.speech_decoder.rows import (
    ROWS,
    LengthHead,
    Places,
    Reading,
    as_script,
    guided_attention,
    plain_places,
    progress_places,
    row_ends,
    stretch,
)
from freeze_omni.streaming import State

KeyValue = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Condition:
    """What the AR is conditioned on: text rows with bos (B, 1 + N, D), prefix, positions."""

    rows: Tensor
    row_lengths: Tensor  # (B,), bos not counted
    prefix: list[KeyValue]  # for each layer (B, H, M, d); empty without hidden states
    prefix_valid: Tensor  # (B, M)
    places: Places
    durations: Tensor | None  # (B, N) as predicted, if they are
    script: Tensor | None = None  # (B, N + 3, D), for `reading: told`
    ends: Tensor | None = None  # (B, N), likewise

    @property
    def row_valid(self) -> Tensor:
        return valid_mask(self.row_lengths + 1, self.rows.shape[1])


class SpeechDecoder(nn.Module):
    """Turns LLM embeddings of a text (and its hidden states), of width llm_size, into codec tokens.

    With the published sizes and `text_rows: reshape` 164.7 M parameters.
    Raises ValueError: `text_rows: reshape` and an LLM width that is no multiple of `size`.
    """

    def __init__(self, config: SpeechDecoderConfig, llm_size: int) -> None:
        super().__init__()
        self.config = config

        def stack(count: int) -> nn.ModuleList:
            sizes = (config.size, config.heads, config.ffn_size, config.dropout)
            return nn.ModuleList(Layer(*sizes) for _ in range(count))

        self.nar_rows = ROWS[config.text_rows](llm_size, config.size)
        self.nar = stack(config.pre_layers)
        self.prefix_rows = ROWS[config.text_rows](llm_size, config.size)
        self.prefix = stack(config.layers)
        self.embedding = nn.Embedding(config.vocabulary, config.size)
        self.ar = stack(config.layers)
        self.norm = nn.RMSNorm(config.size, eps=NORM_EPS)
        self.output = nn.Linear(config.size, config.vocabulary)
        further = (config.size, config.ffn_size, config.dropout)
        self.multi_token = nn.ModuleList(multi_token.MultiToken(*further) for _ in range(config.tokens_per_pass - 1))
        self.dropout = nn.Dropout(config.dropout)
        if config.length == "predicted":
            self.nar_length = LengthHead(config.size, config.tokens_per_row)
        if config.reading == "told":
            self.reading = Reading(config.size)
        # Only keys and values of the last prefix layer are used: the rest gets no gradient.
        last = self.prefix[-1]
        for part in (last.attention_out, last.ffn_norm, last.gate_up, last.down):
            part.requires_grad_(False)

    @property
    def head_size(self) -> int:
        return self.config.size // self.config.heads

    def copy_ar_to_prefix(self) -> None:
        """Start the prefix from the trained AR layers (stage 2.3)."""
        self.prefix.load_state_dict(self.ar.state_dict())

    def forward(
        self,
        text: Tensor,
        text_lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        hidden: Tensor | None = None,
        hidden_lengths: Tensor | None = None,
    ) -> Tensor:
        """Teacher forcing: logits (B, T + 1, V + 4) of each next token and of what ends them.

        text, tokens: LLM embeddings (B, N, E) and speech tokens (B, T), right-padded, lengths (B,).
        hidden: LLM hidden states (B, M, E) for the prefix, lengths (B,) (default: all of M).
        Raises ValueError: more than `max_positions` rows and tokens.
        """
        condition = self.condition(text, text_lengths, hidden, hidden_lengths, token_lengths)
        return self.speech(condition, tokens, token_lengths)

    def loss(
        self,
        text: Tensor,
        text_lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        hidden: Tensor | None = None,
        hidden_lengths: Tensor | None = None,
        row_tokens: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross entropy of tokens and eos (and the optional parts), arguments as in `forward`.

        row_tokens: (B, N) how many of its tokens each row takes, if known.
        Returns: the loss, and detached stats: loss, ce, acc and acc10 (top 1, top 10) of the AR, ce_further of the
        other tokens of a pass, length, guide.
        """
        config = self.config
        condition = self.condition(text, text_lengths, hidden, hidden_lengths, token_lengths, row_tokens)
        states, guide = self._speak(condition, tokens, token_lengths)
        step = torch.arange(tokens.shape[1] + 1, device=tokens.device)
        targets = F.pad(tokens, (0, 1)).where(step < token_lengths[:, None], config.eos)
        real = step <= token_lengths[:, None]
        loss, stats = self._token_loss(states[0], targets, real)
        if len(states) > 1:
            further = [self._token_loss(state, targets[:, k:], real[:, k:])[0] for k, state in enumerate(states[1:], 1)]
            stats["ce_further"] = torch.stack(further).mean()
            loss = torch.stack([loss, *further]).mean()
        if condition.durations is not None:
            if row_tokens is None:
                stats["length"] = LengthHead.loss(condition.durations, token_lengths)
            else:
                stats["length"] = LengthHead.row_loss(condition.durations, row_tokens, condition.row_lengths)
            loss = loss + config.length_weight * stats["length"]
        if guide is not None:
            stats["guide"] = guide
            loss = loss + config.guide_weight * guide
        return loss, {"loss": loss.detach()} | {key: value.detach() for key, value in stats.items()}

    def _token_loss(self, states: Tensor, targets: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of targets (B, T) that states (B, T, D) predict, where they are real, and its stats."""
        logits, targets = self.output(self.norm(states[real])).float(), targets[real]
        ce = F.cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        best = logits.detach().topk(min(10, logits.shape[1]), dim=-1).indices == targets[:, None]
        return ce, {"ce": ce, "acc": best[:, 0].float().mean(), "acc10": best.any(dim=-1).float().mean()}

    def condition(
        self,
        text: Tensor,
        text_lengths: Tensor,
        hidden: Tensor | None = None,
        hidden_lengths: Tensor | None = None,
        token_lengths: Tensor | None = None,
        row_tokens: Tensor | None = None,
    ) -> Condition:
        """Run NAR and prefix; progress positions use true lengths (B,) or row_tokens (B, N), if known."""
        x, row_lengths = self.nar_rows(text, text_lengths)
        x = self.dropout(x)
        valid = valid_mask(row_lengths, x.shape[1])
        mask = key_mask(valid)
        rotary = self._rotary(torch.arange(x.shape[1], device=x.device).expand(valid.shape))
        for layer in self.nar:
            x = layer(x, rotary, mask)
        if hidden is None:
            hidden, hidden_lengths = text[:, :0], torch.zeros_like(text_lengths)
        elif hidden_lengths is None:
            hidden_lengths = torch.full_like(text_lengths, hidden.shape[1])
        prefix_x, prefix_lengths = self.prefix_rows(hidden, hidden_lengths)
        durations = self.nar_length(x, row_lengths) if self.config.length == "predicted" else None
        timing = self._timing(valid, durations, token_lengths, row_tokens)
        if timing is None:
            places = plain_places(row_lengths, x.shape[1], prefix_x.shape[1])
        else:
            places = progress_places(timing, prefix_lengths, prefix_x.shape[1])
        bos = self.embedding.weight[self.config.bos].expand(len(x), 1, -1)
        rows, told = torch.cat([bos.to(x.dtype), x], dim=1), self.config.reading == "told"
        script = (as_script(x, row_lengths), row_ends(timing, row_lengths)) if told else (None, None)
        prefix_valid = valid_mask(prefix_lengths, prefix_x.shape[1])
        prefix = self._prefix(prefix_x, prefix_valid, places) if prefix_x.shape[1] else []
        return Condition(rows, row_lengths, prefix, prefix_valid, places, durations, *script)

    @torch.no_grad()
    def start(
        self,
        text: Tensor,
        hidden: Tensor | None = None,
        text_lengths: Tensor | None = None,
        hidden_lengths: Tensor | None = None,
        token_lengths: Tensor | None = None,
        tokens_per_pass: int = 0,
    ) -> State:
        """Read text (B, N, E) and hidden states (B, M, E) of a segment; `step` then takes the sos.

        text_lengths, hidden_lengths: (B,), default everything. token_lengths: (B,) speech tokens to plan for with
            progress positions; default: as predicted.
        tokens_per_pass: 0 for as many as it has learned.
        Returns: a state (see `cache`) that any others of as many tokens a pass can be joined with.
        Raises ValueError: more tokens a pass than it has learned.
        """
        if text_lengths is None:
            text_lengths = torch.full((len(text),), text.shape[1], device=text.device)
        condition = self.condition(text, text_lengths, hidden, hidden_lengths, token_lengths)
        self._check_size(condition.rows.shape[1])
        valid = torch.cat([condition.prefix_valid, condition.row_valid], dim=1)
        x, rotary, mask = condition.rows, self._rotary(condition.places.text), key_mask(valid)
        pairs: list[KeyValue] = []
        for index, layer in enumerate(self.ar):
            query, key, value = layer.project(x, rotary)
            pairs.append(_after_prefix(condition.prefix, index, key, value))
            x = layer.attend(x, query, *pairs[-1], mask)
        cache, length = kv.pack(pairs, valid)
        state = {"cache": cache, "length": length, "position": condition.places.sos.clone()}
        if (passes := self._passes(tokens_per_pass)) > 1:
            state |= multi_token.initial_turn(len(x), passes, x)
        return state if condition.script is None else state | {"script": condition.script, "ends": condition.ends}

    @torch.no_grad()
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V + 4) of what follows `token` (B,), at first the sos. Writes in the cache."""
        if "waited" not in state:
            hidden, after = self._read(token[:, None], state)
        else:
            after = self._step_by_turns(token, state)
            hidden = after["hidden"]
        return self.output(self.norm(hidden)), after | {"position": state["position"] + 1}

    def _step_by_turns(self, token: Tensor, state: State) -> State:
        """A step with `multi_token`: rows of a batch may have waited for different times."""
        waited = state["waited"].unique()
        if len(waited) == 1:
            return self._step_alike(token, state)
        most = int(state["length"].max()) + state["waiting"].shape[1] + 1
        state = state | {"cache": kv.with_room(state["cache"], most)}
        after = {key: value if key == "cache" else value.clone() for key, value in state.items()}
        for one in waited:
            rows = state["waited"] == one
            some = self._step_alike(token[rows], {key: value[rows] for key, value in state.items()})
            for key, value in some.items():
                after[key][rows] = value
        return after

    def _step_alike(self, token: Tensor, state: State) -> State:
        tokens = multi_token.due(token, state)
        if tokens is not None:
            hidden, after = self._read(tokens, state)
            return after | {"hidden": hidden, "waited": torch.zeros_like(state["waited"])}
        module = self.multi_token[int(state["waited"][0])]
        hidden = module(state["hidden"], self._inputs(token[:, None], state)[0][:, 0])
        return state | {"hidden": hidden} | multi_token.wait(token, state)

    def _inputs(self, tokens: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """What the AR reads (B, K, D) of tokens (B, K), and their positions (B, K)."""
        x, clock = self.embedding(tokens), clock_of(tokens, state)
        if "script" in state:
            x = x + self.reading(state["script"], state["ends"], clock)
        return x, clock

    def _read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The AR reads tokens (B, K): its last state (B, D), and the state with a longer cache."""
        slots, count = state["length"], tokens.shape[1]
        used = int(slots.max()) + count
        cache = kv.with_room(state["cache"], used)
        even = int(slots.min()) + count == used  # all rows have the same length
        mask = None
        if count > 1 or not even:
            seen = slots[:, None] + torch.arange(1, count + 1, device=slots.device)
            mask = valid_mask(seen.flatten(), used).view(len(slots), 1, count, used)
        x, clock = self._inputs(tokens, state)
        rotary = self._rotary(clock)
        for index, layer in enumerate(self.ar):
            query, key, value = layer.project(x, rotary)
            kv.write(cache, index, used - count if even else slots, key, value)
            x = layer.attend(x, query, *cache[:, index, :, :, :used].unbind(1), mask)
        return x[:, -1], state | {"cache": cache, "length": slots + count}

    def speech(self, condition: Condition, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        """Logits (B, T + 1, V + 4) of tokens (B, T) with lengths (B,)."""
        return self.output(self.norm(multi_token.in_turn(self._speak(condition, tokens, token_lengths)[0])))

    def _speak(self, condition: Condition, tokens: Tensor, token_lengths: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """States (B, T + 1 - k, D) of depth k (`multi_token.depths`), and the guided-attention loss if it is on."""
        config, rows, steps = self.config, condition.rows.shape[1], tokens.shape[1] + 1
        self._check_size(rows + steps)
        read = valid_mask(token_lengths, steps - 1)
        if self.training and config.token_dropout:
            read = read & (torch.rand(tokens.shape, device=tokens.device) >= config.token_dropout)
        inputs = F.pad(tokens.where(read, config.pad), (1, 0), value=config.sos)
        clock = condition.places.sos[:, None] + torch.arange(steps, device=tokens.device)
        spoken = self.embedding(inputs).to(condition.rows.dtype)
        if condition.script is not None:
            spoken = spoken + self.reading(condition.script, condition.ends, clock)
        spoken = self.dropout(spoken)
        x = torch.cat([condition.rows, spoken], dim=1)
        rotary = self._rotary(torch.cat([condition.places.text, clock], dim=1))
        mask = self._mask(condition, steps)
        guide = None
        for index, layer in enumerate(self.ar):
            query, key, value = layer.project(x, rotary)
            if config.guide_weight and index == config.guide_layer:
                asking, asked = query[:, : config.guide_heads, rows:], key[:, : config.guide_heads, 1:rows]
                guide = guided_attention(asking, asked, token_lengths, condition.row_lengths, config.guide_width)
            x = layer.attend(x, query, *_after_prefix(condition.prefix, index, key, value), mask)
        return list(multi_token.depths(self.multi_token, x[:, rows:], spoken)), guide

    def _mask(self, condition: Condition, steps: int) -> Tensor:
        """(B, 1, rows + steps, prefix + rows + steps), as the head of this file says."""
        rows = condition.rows.shape[1]
        seen = torch.cat([condition.prefix_valid, condition.row_valid], dim=1)
        causal = torch.ones(steps, steps, dtype=torch.bool, device=seen.device).tril()
        speech = F.pad(causal, (0, 0, rows, 0))
        return torch.cat([seen[:, None].expand(-1, rows + steps, -1), speech.expand(len(seen), -1, -1)], dim=2)[:, None]

    def _prefix(self, x: Tensor, valid: Tensor, places: Places) -> list[KeyValue]:
        """Keys and values (B, H, M, d) of each prefix layer over the rows x (B, M, D)."""
        x, rotary, mask = self.dropout(x), self._rotary(places.prefix), key_mask(valid)
        pairs: list[KeyValue] = []
        for layer in self.prefix:
            query, key, value = layer.project(x, rotary)
            pairs.append((key, value))
            if len(pairs) < len(self.prefix):
                x = layer.attend(x, query, key, value, mask)
        return pairs

    def _timing(
        self, valid: Tensor, durations: Tensor | None, token_lengths: Tensor | None, row_tokens: Tensor | None
    ) -> Tensor | None:
        """Speech tokens (B, N) of each row, true or predicted; None with plain positions."""
        if self.config.positions == "plain":
            return None
        if row_tokens is not None:
            return row_tokens.to(torch.float32) * valid
        if durations is None:
            return self.config.tokens_per_row * valid.float()
        if token_lengths is not None:
            total = token_lengths.float()
            if self.training:
                total = total * torch.exp(self.config.length_noise * torch.randn_like(total))
            durations = stretch(durations, total)
        return durations.detach()

    def _rotary(self, places: Tensor) -> Rotary:
        return rotary_tables(places, self.head_size)

    def _passes(self, wanted: int) -> int:
        """Speech tokens of a pass, of those learned."""
        learned = self.config.tokens_per_pass
        if wanted > learned:
            raise ValueError(f"tokens_per_pass: {wanted}, but this speech decoder has learned {learned}")
        return wanted or learned

    def _check_size(self, size: int) -> None:
        if size > self.config.max_positions:
            most = f"max_positions is {self.config.max_positions}: cut the segment or filter longer utterances"
            raise ValueError(f"{size} text rows and speech tokens in one segment, but {most}")


def clock_of(tokens: Tensor, state: State) -> Tensor:
    """Positions (B, K) of tokens (B, K), the last of which is at the state's."""
    return state["position"][:, None] + torch.arange(1 - tokens.shape[1], 1, device=tokens.device)


def _after_prefix(prefix: list[KeyValue], layer: int, key: Tensor, value: Tensor) -> KeyValue:
    """The layer's keys and values (B, H, K, d) after those of its prefix, if any."""
    if not prefix:
        return key, value
    return torch.cat([prefix[layer][0], key], dim=2), torch.cat([prefix[layer][1], value], dim=2)
