"""Speech output: sentences spoken at every top-k with and without NAR prefix; error rates of an independent recogniser.

Only in a dialogue set, of questions (`text`) and answers (`answer`), has the prefix hidden states to read. The codec's
copies and the answers streamed by sessions are scored here, too.
"""

import argparse
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import write_wav
from freeze_omni.data.parts import LeftToOthers, Part
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval import codec, paper
from freeze_omni.eval.bootstrap import mean_of
from freeze_omni.eval.codec import COPY, ORIGINAL
from freeze_omni.eval.config import DecodeConfig, TtsDecodeConfig
from freeze_omni.eval.judge import judge_device, judged_texts
from freeze_omni.eval.meters import SCALES
from freeze_omni.eval.outputs import match, read_sounds
from freeze_omni.eval.quality import score_quality
from freeze_omni.eval.report import MISSING, Found, Report, Section, mean, number, rate, table
from freeze_omni.eval.runner import DecodeJob, Units, data_of, read_records
from freeze_omni.eval.sets import first_keys
from freeze_omni.eval.wer import error_rate, utterance_errors
from freeze_omni.session.answer import own_answers
from freeze_omni.session.history import embed
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.speech_decoder.generate import generate_batch
from freeze_omni.speech_decoder.sampling import SamplingConfig

STREAMED = "streamed"
DRAW, PASS = "_draw", "served_pass"
Sentence = tuple[str, str | None]  # a text, and the question that it answers


def setting_name(top_k: int, prefix: bool, draw: int = 0) -> str:
    """The folder of a setting, or of a further draw of it."""
    return f"{'prefix' if prefix else 'no_prefix'}_top{top_k}" + _drawn(draw)


def top_k_of(name: str) -> int | None:
    """Of a setting by its name without the draw; None for what is no setting, whatever a test set is called."""
    found = re.fullmatch(r"(?:no_)?prefix_top(\d+)", name)
    return int(found[1]) if found else None


def _without_draw(name: str) -> str:
    """The setting of a folder; other names stay."""
    found = re.fullmatch(rf"((?:no_)?prefix_top\d+|{PASS}\d+){DRAW}\d+", name)
    return found[1] if found else name


def _drawn(draw: int) -> str:
    return f"{DRAW}{draw + 1}" if draw else ""


Setting = tuple[int | None, bool, int, int]
"""Top-k (None: that of sessions, and their prefix), prefix, tokens a pass (0: as in sessions), draw."""


def settings_of(config: TtsDecodeConfig, prefixes: Sequence[bool]) -> dict[str, Setting]:
    """By name all settings that are spoken; that of sessions with each number of tokens a pass, too."""
    found: dict[str, Setting] = {
        setting_name(k, prefix, draw): (k, prefix, 0, draw)
        for prefix in prefixes
        for k in config.top_k
        for draw in range(config.draws if k > 1 else 1)  # nothing is drawn from one
    }
    served: dict[str, Setting] = {
        f"{PASS}{n}{_drawn(draw)}": (None, True in prefixes, n, draw)
        for n in config.tokens_per_pass
        for draw in range(config.draws)
    }
    return found | served


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write wav/<setting>/<id>.wav, <setting>/wav.scp, and `text`, against which all are scored."""
    config = job.config.tts
    texts, questions = read_table(job.data / "text", need_value=False), {}
    if (job.data / "answer").is_file():
        texts, questions = read_table(job.data / "answer"), texts
    keys = first_keys(texts, config.sentences)
    settings = settings_of(config, (False, True) if questions else (False,))
    sentences = {key: (texts[key], questions.get(key)) for key in keys}

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        if job.partial and not (job.codec and job.llm and job.voice):
            raise ConfigError(f"{job.model}: a speech decoder needs --codec, --llm and --voice, a sound file")
        for (name,) in todo:
            model, (top_k, prefix, passes, draw) = job.load("speech_decoder"), settings[name]
            torch.manual_seed(job.seed + draw)
            answers = job.config.answers or own_answers(model)
            own = answers.sampling.top_k, answers.prefix and bool(questions)
            served = (top_k, prefix) == own
            if top_k is None:
                top_k, prefix = own
            drawn = replace(answers.sampling, top_k=top_k, tokens_per_pass=passes or answers.sampling.tokens_per_pass)
            spoken = speak(model, sentences, prefix, drawn, job.output / "wav" / name, config.batch)
            yield [{"id": name, "served": served, **spoken}]

    records = job.run("tts settings", [(name,) for name in settings], (config, job.config.answers), work)
    job.finish({key: texts[key] for key in keys}, records)
    return records


@torch.no_grad()
def speak(
    model: Any, sentences: Mapping[str, Sentence], prefix: bool, sampling: SamplingConfig, folder: Path, batch_size: int
) -> dict[str, Any]:
    """Speak sentences by id, one segment each, to <id>.wav; returns what it took."""
    hz, dtype = model.rates.output_hz, next(model.speech_decoder.parameters()).dtype
    started_s, seconds, empty = time.time(), 0.0, 0
    keys = sorted(sentences, key=lambda key: len(sentences[key][0]))
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        texts = [embed(model, model.spoken_ids(sentences[key][0])).to(dtype) for key in batch]
        states = answer_states(model, [sentences[key] for key in batch]) if prefix else []
        hidden = [row.to(dtype) for row in states] or None
        rows = generate_batch(model.speech_decoder, texts, hidden, sampling)
        tokens, lengths = pad_rows([row if len(row) else row.new_zeros(1) for row in rows])
        voices = model.voice.expand(len(batch), *model.voice.shape[1:])
        wavs = model.codec.decode(tokens, voices, lengths).cpu()
        for key, wav, row in zip(batch, wavs, rows, strict=True):
            size = len(row) * model.codec.hop_samples
            empty, seconds = empty + (size == 0), seconds + size / hz
            write_wav(folder / f"{key}.wav", wav[: max(size, 600)].numpy(), hz)
    return {"keys": sorted(sentences), "audio_s": seconds, "took_s": time.time() - started_s, "empty": empty}


def answer_states(model: Any, sentences: Sequence[Sentence]) -> list[Tensor]:
    """Hidden states (N, E) of the LLM's answering pass over each sentence after its question."""
    order, rows, sizes = model.llm.order, [], []
    for answer, question in sentences:
        before, ids = order.before_answer(model.system_prompt, (), question), order.answer(answer)
        rows.append(embed(model, before + ids))
        sizes.append((len(before), len(ids)))
    embeds, lengths = pad_rows(rows)
    hidden, _ = model.llm(embeds, valid_mask(lengths, embeds.shape[1]))
    # the state that predicts a token belongs to it
    return [row[start - 1 : start - 1 + size] for row, (start, size) in zip(hidden, sizes, strict=True)]


def score(root: Path, config: DecodeConfig, judge: Path | None = None, device: str = "cpu") -> dict[str, Any]:
    """`speech`: error rates by the judge, if any; `prefix`: what the prefix brings; `quality`: DNSMOS and speaker
    similarity, if asked for."""
    found: dict[str, Any] = {} if judge is None else score_speech(root, config, judge, device)
    if (config.score.dnsmos or config.score.speaker_similarity) and (root / "codec" / "decode.json").exists():
        found["quality"] = score_quality(_spoken_folders(root, found.get("speech", {})), config.score)
    return found


def score_speech(root: Path, config: DecodeConfig, judge: Path, device: str = "cpu") -> dict[str, Any]:
    """speech: error rates of every speech setting (of all its draws together), of the codec's copies, of the originals,
    and of streamed answers, those to a further set as `streamed_<set>`. prefix: `prefix_gain` of the settings, if some
    have a prefix."""
    found: dict[str, dict[str, Any]] = {}
    for name, clips, path, record in _judged_folders(root):
        own = config.score.of(data_of(path.parent).name)
        heard, texts = judged_texts(clips, judge, own.judge, device), read_table(path, need_value=False)
        new = {"said": {}, "heard": {}, "draws": [], "speed": _speed(record), "clean": own.normaliser}
        one = found.setdefault(_without_draw(name), new)
        one["said"] |= {f"{name} {key}": texts[key] for key in heard}
        one["heard"] |= {f"{name} {key}": text for key, text in heard.items()}
        one["draws"].append(name)
    speech = {name: _rates(one["said"], one["heard"], one["clean"]) | one["speed"] for name, one in found.items()}
    for name, one in found.items():
        if len(one["draws"]) > 1:
            speech[name]["draws"] = len(one["draws"])
    errors = {
        name: (utterance_errors(one["said"], one["heard"], one["clean"]), len(one["draws"]))
        for name, one in found.items()
        if top_k_of(name) is not None
    }
    gain = prefix_gain(errors)
    return {"speech": speech} | ({"prefix": gain} if gain else {})


def prefix_gain(settings: Mapping[str, tuple[Mapping[str, int], int]]) -> dict[str, Any] | None:
    """By how much of itself the word error rate falls by the prefix, over the top-ks that were spoken with and without.

    settings: name -> wrong words of each "draw sentence", and the number of draws. Each top-k counts the same. gain:
    .1 is a tenth fewer errors; low, high: 95 % over sentences, those with and without drawn in pairs. None without both
    ways, or without an error.
    """
    top_ks = sorted(top_k_of(name) or 0 for name in settings if name.startswith("prefix"))
    top_ks = [k for k in top_ks if setting_name(k, False) in settings]
    sums: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for prefix, of_key in sums.items():
        for errors, draws in (settings[setting_name(k, prefix)] for k in top_ks):
            for name, count in errors.items():
                key = name.split()[1]
                of_key[key] = of_key.get(key, 0.0) + count / draws
    shared = [key for key in sums[True] if key in sums[False]]
    over = [sums[False][key] for key in shared]
    if not sum(over):
        return None
    left = mean_of([sums[True][key] for key in shared], over)
    gain = {name: round(1 - left[of], 4) for name, of in (("gain", "mean"), ("low", "high"), ("high", "low"))}
    return gain | {"count": len(shared), "top_k": top_ks, "draws": max(draws for _, draws in settings.values())}


def judge_part(root: Path, config: DecodeConfig, judge: Path, device: str, part: Part) -> None:
    """A job's share of what the judge hears for `score_speech`."""
    for _, clips, path, _ in _judged_folders(root):
        with suppress(LeftToOthers):
            judged_texts(clips, judge, config.score.of(data_of(path.parent).name).judge, device, part)


def _judged_folders(root: Path) -> list[tuple[str, Path, Path, dict[str, Any]]]:
    """Name, folder of clips, file of their texts, record."""
    folders: list[tuple[str, Path, Path, dict[str, Any]]] = []
    for folder in (root / "codec", root / "tts"):
        if (folder / "decode.json").exists():
            records = read_records(folder / "records.jsonl")
            folders += [(name, folder / name, folder / "text", record) for name, record in records.items()]
    for streamed in (root / "latency", *sorted(root.glob("latency_*"))):
        if (streamed / "decode.json").exists() and _any_spoken(streamed):
            folders.append((STREAMED + streamed.name.removeprefix("latency"), streamed, streamed / "text", {}))
    return folders


def _spoken_folders(root: Path, speech: Mapping[str, Any]) -> dict[str, Path]:
    """Folders whose quality is scored: originals, copies, the setting of sessions, streamed answers."""
    wanted = {ORIGINAL: root / "codec" / ORIGINAL, COPY: root / "codec" / COPY}
    if (served := served_setting(speech)) is not None:
        wanted[served] = root / "tts" / served
    wanted[STREAMED] = root / "latency"
    return {name: folder for name, folder in wanted.items() if (folder / "wav.scp").exists() and _any_spoken(folder)}


def _any_spoken(folder: Path) -> bool:
    """Whether there is any clip: a model may have answered no question with sound."""
    return (folder / "wav.scp").stat().st_size > 0


def served_setting(speech: Mapping[str, Any]) -> str | None:
    """The top-k and prefix with which the packed model's sessions speak; None if it was not among the settings."""
    return next((name for name, figures in speech.items() if figures.get("served")), None)


def _rates(texts: Mapping[str, str], heard: Mapping[str, str], normaliser: str) -> dict[str, Any]:
    found = error_rate(texts, heard, normaliser).as_dict()
    return found | {"character_percent": error_rate(texts, heard, "characters").as_dict()["percent"]}


def _speed(record: Mapping[str, Any]) -> dict[str, Any]:
    factor = record["took_s"] / record["audio_s"] if record.get("took_s") and record["audio_s"] else None
    served = {"served": record["served"]} if "served" in record else {}
    return served | ({"real_time_factor": factor, "empty": record["empty"]} if "took_s" in record else {})


def _speech_rows(found: Found) -> list[str]:
    named = {top_k_of(name) for _, speech in found for name in speech}
    top_ks = sorted(k for k in named if k is not None)
    rows, notes = [], []
    for model, speech in found:
        for prefix, label in ((False, "no prefix"), (True, "with prefix")):
            cells = [rate(speech.get(setting_name(k, prefix))) for k in top_ks]
            if any(cell != MISSING for cell in cells):
                rows.append([model, label, *cells])
        notes.append(
            f"- {model}: original speech {rate(speech.get(ORIGINAL))}, copies by the codec {rate(speech.get(COPY))}, "
            f"the setting of its sessions {served_setting(speech) or MISSING}; answers streamed in segments "
            f"{rate(speech.get(STREAMED))}"
            + "".join(
                f", to {name.removeprefix(STREAMED + '_')} {rate(one)}"
                for name, one in speech.items()
                if name.startswith(STREAMED + "_")
            )
        )
        draws = max((one.get("draws", 1) for one in speech.values()), default=1)
        notes += [f"- {model}: each top-k above 1 was spoken {draws} times, by other seeds"] if draws > 1 else []
    return [*table(["model", "", *(f"top-k {k}" for k in top_ks)], rows), *notes, ""]


def _pass_rows(models: Found) -> list[str]:
    rows = []
    for model, speech in models:
        passes = sorted(int(name.removeprefix(PASS)) for name in speech if name.startswith(PASS))
        for one in (speech[f"{PASS}{n}"] | {"n": n} for n in passes):
            rows.append([model, str(one["n"]), rate(one), number(one["real_time_factor"], 3)])
    return table(["model", "speech tokens a pass", "WER", "computing s : speech s, in batches"], rows) if rows else []


def _prefix_rows(models: Found) -> list[str]:
    rows = []
    for model, one in models:
        top_ks = ", ".join(map(str, one["top_k"]))
        rows.append([model, mean(one, 3, "gain"), top_ks, str(one["draws"]), str(one["count"])])
    return table(["model", "share of the errors that the prefix saves", "top-k", "draws", "sentences"], rows)


def _quality_rows(models: Found) -> list[str]:
    rows, notes = [], []
    for model, quality in models:
        for name, found in quality.get("rows", {}).items():
            cells = [mean(found.get(scale)) for scale in (*SCALES, "similarity")]
            clips = next((one["clips"] for one in found.values() if one), 0)
            rows.append([model, name.replace("_", " "), *cells, clips])
        notes += [f"- {model}: {text}" for text in quality.get("missing", ())]
    head = ["model", "speech", *(f"DNSMOS {scale}" for scale in SCALES), "same speaker", "clips"]
    return [*table(head, rows), *notes, *([""] if notes else [])]


_PAPER = "CER at top-k 1 to 5: 3.11 2.75 2.77 2.84 2.94 without, 2.19 1.69 1.85 1.90 1.99 with prefix"
_QUALITY = "Speech output: quality estimated from the sound (DNSMOS, 1 to 5), and likeness to the voice (cosine)"
SECTIONS = (
    Section("Speech output: WER in percent, heard by an independent recogniser", "speech", _speech_rows, _PAPER),
    Section("Speech output: several tokens of one pass, as sessions speak otherwise", "speech", _pass_rows),
    Section("What the NAR prefix brings", "prefix", _prefix_rows, "about .4: 2.94 to 1.99 at top-k 5, and alike"),
    Section(_QUALITY, "quality", _quality_rows),
)


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """Rows: every setting of the model, the codec's copies and their originals; or the sounds given, with --judge."""
    if args.judge is None and args.model is None:
        raise ConfigError("speech is scored by a recogniser: give --judge, a folder of a CTranslate2 Whisper model")
    references = read_table(args.data / ("answer" if (args.data / "answer").is_file() else "text"))
    notes: list[str] = []
    if args.model is not None:
        made = _decode_all(args, config)
    else:
        sounds, folder = read_sounds(args.outputs, list(references)), args.output / "tts_given"
        notes = match(references, sounds, args.outputs)
        write_table(folder / "wav.scp", {key: sounds[key] for key in references if key in sounds})
        made = {"given": (folder, {})}
    figures: dict[str, dict[str, Any]] = {}
    for name, (folder, record) in made.items():
        counts = {"utterances": len(record["keys"]), "speech_s": record["audio_s"]} if record else {}
        figures[name] = counts | _speed(record)
        if args.judge is not None:
            heard = judged_texts(
                folder, args.judge, replace(config.score.judge, language=args.language), judge_device(args.device)
            )
            said = {key: heard.get(key, "") for key in references if args.model is None or key in heard}
            figures[name] |= _rates({key: references[key] for key in said}, said, args.normaliser)
    if args.judge is not None:
        notes.append(f"the paper, Mandarin by paraformer-zh: CER {min(paper.TTS)} at its best top-k; another judge")
        notes.append(f"judge: {args.judge.name}; in brackets: 95 % bootstrap interval over utterances")
    else:
        notes.append("no --judge was given: whether the words can be understood was not measured")
    head = ["", "errors in %", "CER %", "utterances", "speech s", "computing s : speech s", "without speech"]
    rows = [
        [name, rate(one) if "percent" in one else MISSING, number(one.get("character_percent"))]
        + [str(one.get("utterances", MISSING)), number(one.get("speech_s"), 1)]
        + [number(one.get("real_time_factor"), 3), str(one.get("empty", MISSING))]
        for name, one in figures.items()
    ]
    title = f"Speech output, {args.set or args.data.name}, normaliser {args.normaliser}"
    return Report(title, head, rows, {"tts": figures}, notes)


def _decode_all(args: argparse.Namespace, config: DecodeConfig) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Folders and records of speech by name: sentences spoken (not by a codec alone), recordings copied."""
    speaks = args.model.suffix != ".pth" or args.codec is not None
    made: dict[str, tuple[Path, dict[str, Any]]] = {}
    for name, decoder, wanted in (("tts", decode, speaks), ("codec", codec.decode, codec.originals(args.data))):
        if wanted:
            folder = args.output / f"{name}_{args.set or args.data.name}"
            records = decoder(DecodeJob.of(args, config, folder))
            made |= {setting: (folder / setting, record) for setting, record in records.items()}
    return made
