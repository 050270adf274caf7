"""The parts of a recorded run: listening, two turns of a dialogue, speech tokens, teacher forcing, codec, streaming."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.codec.fifo import FifoConfig, TokenFifo
from freeze_omni.listening import ListeningOutput
from freeze_omni.llm import generate as text_generation
from freeze_omni.speech_decoder.generate import generate
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.system import FreezeOmni

ANSWER_TOKENS = 24  # of a recorded answer, at most
TURNS = 2
Recording = Mapping[str, np.ndarray]
Found = Iterator[tuple[str, np.ndarray]]


def heard_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """Fresh caches at the start, one chunk at a time; a chunk's features after those that overlap, zeros at first."""
    wav, overlap = _wav(model, recording), model.rates.overlap_feats
    listening, state = model.listening, model.listening.initial_state(1)
    before = wav.new_zeros(1, overlap, model.rates.mel_bins)
    chunks, frames, positions = [], [], []
    for samples in wav.split(model.rates.chunk_samples, dim=1):
        out, state = listening.step(samples, state)
        chunks.append(torch.cat([before, out.feats], dim=1)[0])
        before = out.feats[:, -overlap:]
        frames.append(out.frames[0])
        positions.append(out.adapted.embeds[0])
    yield "fbank_chunks", torch.stack(chunks).numpy()
    yield "encoder_out", torch.cat(frames).numpy()
    yield "adapter_out", torch.cat(positions).numpy()


def heard_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """All of the audio in one pass."""
    out = _all_at_once(model, recording)
    overlap, size = model.rates.overlap_feats, model.rates.chunk_feats
    padded = F.pad(out.feats[0], (0, 0, overlap, 0))
    yield "fbank_chunks", padded.unfold(0, size + overlap, size).transpose(1, 2).contiguous().numpy()
    yield "encoder_out", out.frames[0].numpy()
    yield "adapter_out", out.adapted.embeds[0].numpy()


def dialogue_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """The same audio as two user turns, each with a greedy answer; the state head reads after every step."""
    llm, cache = model.llm, model.llm.new_cache()
    positions = dict(heard_step_by_step(model, recording))["adapter_out"]
    steps = torch.from_numpy(positions).split(model.rates.chunk_frames // model.rates.adapter_downsample)
    last = llm(_embed(model, llm.order.system(model.system_prompt))[None], cache=cache)[0][0, -1]
    states = [_probabilities(model, last)]
    answers: list[tuple[np.ndarray, np.ndarray]] = []
    for turn in range(TURNS):
        opening = [_embed(model, llm.order.prefix(first=turn == 0)), model.prompt.weight]
        for speech in steps:
            last = llm(torch.cat([*opening, speech])[None], cache=cache)[0][0, -1]
            states.append(_probabilities(model, last))
            opening = []
        last = llm(_embed(model, llm.order.suffix())[None], cache=cache)[0][0, -1]
        most = _most(recording, turn)
        made = list(text_generation.generate(llm, last, cache, text_generation.GenerationConfig(max_new_tokens=most)))
        hidden = torch.stack([state for _, state in made]) if made else last.new_zeros(0, llm.hidden_size)
        answers.append((np.array([token for token, _ in made], dtype=np.int64), hidden.float().numpy()))
    yield "state_probs", torch.stack(states).numpy()
    for turn, (ids, hidden) in enumerate(answers):
        yield f"round{turn}_ids", ids
        yield f"round{turn}_hidden", hidden


def dialogue_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """The LLM reads both turns with the recorded answers in one pass; each token is the likeliest one there."""
    llm = model.llm
    speech = _all_at_once(model, recording).adapted.embeds[0]
    step = model.rates.chunk_frames // model.rates.adapter_downsample
    pieces = [_embed(model, llm.order.system(model.system_prompt))]
    length = len(pieces[0])
    asked, starts = [length - 1], []
    for turn in range(TURNS):
        ids = recording[f"round{turn}_ids"].tolist()
        read = ids[:-1] if len(ids) >= _most(recording, turn) else ids  # the last of a full answer is not read
        prefix, suffix = _embed(model, llm.order.prefix(first=turn == 0)), _embed(model, llm.order.suffix())
        first = length + len(prefix) + len(model.prompt.weight)
        asked += range(first + step - 1, first + len(speech), step)
        turn_pieces = [prefix, llm.order.spoken_turn(model.prompt.weight, speech, suffix, _embed(model, read))]
        length += sum(map(len, turn_pieces))
        starts.append(length - len(read) - 1)
        pieces += turn_pieces
    hidden = llm(torch.cat(pieces)[None])[0][0]
    yield "state_probs", torch.stack([_probabilities(model, hidden[index]) for index in asked]).numpy()
    for turn, start in enumerate(starts):
        ids = recording[f"round{turn}_ids"]
        states = hidden[start : start + len(ids)]
        yield f"round{turn}_ids", llm.logits(states).argmax(-1).numpy()
        yield f"round{turn}_hidden", states.float().numpy()


def _wav(model: FreezeOmni, recording: Recording) -> Tensor:
    """Whole chunks of the recorded audio, (1, S)."""
    wav = torch.from_numpy(recording["wav16k"]).float()
    return wav[None, : len(wav) // model.rates.chunk_samples * model.rates.chunk_samples]


def _all_at_once(model: FreezeOmni, recording: Recording) -> ListeningOutput:
    wav = _wav(model, recording)
    return model.listening(wav, torch.tensor([wav.shape[1]]))


def _embed(model: FreezeOmni, ids: list[int]) -> Tensor:
    return model.llm.embed(torch.tensor(ids, dtype=torch.long))


def _probabilities(model: FreezeOmni, hidden: Tensor) -> Tensor:
    return model.state_head(hidden).float().softmax(-1)


def _most(recording: Recording, turn: int) -> int:
    return max(ANSWER_TOKENS, len(recording.get(f"round{turn}_ids", ())))


SPEECH_TOKENS = 60  # of recorded speech tokens, at most
GREEDY = SamplingConfig(top_k=1, penalty_window=0)
PENALISED = SamplingConfig(top_k=1, penalty=1.1, penalty_window=20)
STREAM = FifoConfig(first_chunk_tokens=8, chunk_tokens=8, pad_tokens=3, window_samples=1201, threshold=10.0)
CODEC_STEP = 7  # tokens of a step: no divisor of anything


def rows(model: FreezeOmni, recording: Recording) -> Found:
    """Text embeddings and hidden states as rows of the decoder."""
    text, hidden = _inputs(model, recording)
    decoder = model.speech_decoder
    yield "tts_nar_in", decoder.nar_rows(text[None], torch.tensor([len(text)]))[0][0].numpy()
    yield "tts_prefix_in", decoder.prefix_rows(hidden[None], torch.tensor([len(hidden)]))[0][0].numpy()


def tokens_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """Greedy tokens with prefix, without, and with the repetition penalty."""
    text, hidden = _inputs(model, recording)
    cases = {"prefix": (hidden, GREEDY), "noprefix": (None, GREEDY), "penalty": (hidden, PENALISED)}
    for case, (states, sampling) in cases.items():
        key = f"ar_tokens_{case}"
        most = max(SPEECH_TOKENS, len(recording.get(key, ())))
        yield key, np.array(list(generate(model.speech_decoder, text, states, sampling, max_tokens=most)), np.int64)


def tokens_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """The likeliest token at each place of the recorded ones, read in one pass; an end must follow where one did."""
    text, hidden = _inputs(model, recording)
    for case, states in (("prefix", hidden), ("noprefix", None)):
        key = f"ar_tokens_{case}"
        if key in recording:
            tokens = torch.from_numpy(recording[key]).long()
            logits = _forced(model, text, states, tokens)
            config = model.speech_decoder.config
            logits[:, [config.bos, config.sos, config.pad]] = -torch.inf
            best = logits.argmax(-1)
            ended = len(tokens) >= SPEECH_TOKENS or int(best[-1]) == config.eos
            yield key, (best[:-1] if ended else best).numpy()


def forced_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """Teacher forcing, token by token."""
    text, hidden = _inputs(model, recording)
    decoder, target = model.speech_decoder, torch.from_numpy(recording["tf_y"]).long()
    state, logits = decoder.start(text[None], hidden[None]), []
    for token in [decoder.config.sos, *target.tolist()]:
        scores, state = decoder.step(torch.tensor([token]), state)
        logits.append(scores)
    yield from _teacher_forcing(model, torch.cat(logits), target)


def forced_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """Teacher forcing in one pass."""
    target = torch.from_numpy(recording["tf_y"]).long()
    yield from _teacher_forcing(model, _forced(model, *_inputs(model, recording), target), target)


def decoded_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """Codec decoding in steps, without the delay. Exact where the context is the receptive field (the default)."""
    codec, voice = model.codec, model.voice
    state, pieces = codec.initial_state(1), []
    for chunk in torch.from_numpy(recording["codec_tokens"]).long()[None].split(CODEC_STEP, dim=1):
        wav, state = codec.step(chunk, state, voice)
        pieces.append(wav)
    pieces.append(codec.flush(state, voice))
    yield "codec_wav", torch.cat(pieces, dim=1)[0, codec.delay_samples :].numpy()


def decoded_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """Codec decoding of all tokens."""
    tokens = torch.from_numpy(recording["codec_tokens"]).long()[None]
    yield "codec_wav", model.codec.decode(tokens, model.voice)[0].numpy()


def encoded(model: FreezeOmni, recording: Recording) -> Found:
    """Codec encoding, which reads whole recordings."""
    tokens, lengths, voice = model.codec.encode(torch.from_numpy(recording["codec_in_wav"]).float()[None])
    yield "codec_enc_tokens", tokens[0, : int(lengths[0])].numpy()
    yield "codec_enc_global", voice[0].numpy()


def streamed(model: FreezeOmni, recording: Recording) -> Found:
    """Greedy speech, token by token through the published server's FIFO, every chunk cut at its quietest point."""
    text, hidden = _inputs(model, recording)
    most = SPEECH_TOKENS
    if "stream_wav" in recording:
        most = len(recording["stream_wav"]) // model.codec.hop_samples
    fifo = TokenFifo(model.codec, model.voice, STREAM)
    state, pieces = fifo.initial_state(), []
    for token in generate(model.speech_decoder, text, hidden, GREEDY, max_tokens=most):
        given, state = fifo.push(torch.tensor([token]), state)
        pieces += given
    pieces.append(fifo.finish(state))
    yield "stream_seg_lens", np.array([len(piece) for piece in pieces], dtype=np.int64)
    yield "stream_wav", torch.cat(pieces).numpy()


def _inputs(model: FreezeOmni, recording: Recording) -> tuple[Tensor, Tensor]:
    """LLM embeddings (N, E) of the text, and the recorded hidden states (M, E) for the prefix."""
    ids = torch.from_numpy(recording["tts_text_ids"]).long()
    return model.llm.embed(ids).float(), torch.from_numpy(recording["round0_hidden"]).float()


def _forced(model: FreezeOmni, text: Tensor, hidden: Tensor | None, tokens: Tensor) -> Tensor:
    lengths = (torch.tensor([len(text)]), torch.tensor([len(tokens)]))
    prefix = () if hidden is None else (hidden[None], torch.tensor([len(hidden)]))
    return model.speech_decoder(text[None], lengths[0], tokens[None], lengths[1], *prefix)[0]


def _teacher_forcing(model: FreezeOmni, logits: Tensor, target: Tensor) -> Found:
    yield "tf_logits", logits.numpy()
    wanted = F.pad(target, (0, 1), value=model.speech_decoder.config.eos)
    yield "tf_loss", np.array(float(F.cross_entropy(logits, wanted, reduction="sum")))
