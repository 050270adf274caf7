"""The results file of one scale, results/<scale>.json, and RESULTS.md, which shows those of all scales.

A toy is marked as one, and is never compared with the paper.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from freeze_omni.data.tables import TableError, read_json
from freeze_omni.eval.paper import QA, same_set
from freeze_omni.eval.report import MISSING, Results, figures_of, number, table
from freeze_omni.eval.subjects import SUBJECTS
from freeze_omni.eval.tts import STREAMED, served_setting
from freeze_omni.provenance import processor

HEADLINE = {
    "asr_wer_seen": "asr/{seen}/chunk4/percent",
    "asr_wer_unseen": "asr/{unseen}/chunk4/percent",
    "asr_wer_real": "asr/{real}/chunk4/percent",
    "qa_accuracy": "qa/spoken/accuracy",
    "qa_accuracy_text": "qa/text/accuracy",
    "qa_ratio": "qa/ratio",
    "qa_ratio_unseen": "qa/sets/{unseen_qa}/ratio",
    "qa_ratio_cascade": "qa/ratios/cascade/mean",
    "answer_wer_to_text": "qa/heard_as_text/percent",
    "turns_dropped": "states/turns_dropped/share",
    "llama_questions_wer": "qa/sets/{llama_questions}/transcript/percent",
    "llama_questions_ratio": "qa/sets/{llama_questions}/ratio",
    "webquestions_ratio": "qa/sets/{web_questions}/ratio",
    "codec_wer": "speech/copy/percent",
    "speech_wer": "speech/{served}/percent",
    "prefix_gain": "prefix/gain",
    "speech_wer_streamed": f"speech/{STREAMED}/percent",
    "speech_wer_streamed_open": f"speech/{STREAMED}_{{llama_questions}}/percent",
    "dnsmos_streamed": f"quality/rows/{STREAMED}/overall/mean",
    "state_take": "states/take/share",
    "state_false_pause": "states/false_pause/share",
    "state_false_other": "states/false_other/share",
    "closed_take": "duplex/kinds/turn/takeover/share",
    "closed_false_pause": "duplex/kinds/pause/takeover/share",
    "closed_false_backchannel": "duplex/kinds/backchannel/takeover/share",
    "closed_false_side": "duplex/kinds/side/takeover/share",
    "closed_false_background": "duplex/kinds/background/takeover/share",
    "closed_false_noise": "duplex/kinds/noise/takeover/share",
    "closed_false_echo": "duplex/kinds/echo/takeover/share",
    "closed_stop_s": "duplex/kinds/interruption/stop_s/p90",
    "closed_resume": "duplex/resume/share",
    "closed_scenes": "duplex/scenes",
    "first_audio_s": "latency/first_audio_s/p50",
}
CONTINUOUS = ("pool", "conv")  # adapters that send no embedding of a recognised token
CONTINUOUS_KEYS = ("qa_ratio_continuous", "qa_ratio_conv", "asr_wer_llm_seen")
KEYS = (*HEADLINE, *CONTINUOUS_KEYS, "wall_min")
USER = {  # what a user gets, first in RESULTS.md
    "asr_wer_real": "recorded people: words heard wrong, %",
    "asr_wer_unseen": "synthetic voices of no training: words heard wrong, %",
    "llama_questions_wer": "Llama Questions, published sound: words heard wrong, %",
    "llama_questions_ratio": "right answers to them, over those to their text",
    "webquestions_ratio": "the same of Web Questions, spoken by a voice of no training",
    "qa_ratio_unseen": "the same of the recipe's questions, by a voice of no training",
    "speech_wer_streamed": "answers as sessions stream them: words that a recogniser gets wrong, %",
    "dnsmos_streamed": "quality of that sound, DNSMOS 1 to 5",
    "speech_wer_streamed_open": "answers to Llama Questions, of any words, as sessions stream them: wrong words, %",
    "first_audio_s": "seconds from the end of a question to the first sound, median",
    "turns_dropped": "share of whole turns that were taken for nothing to answer",
    "closed_take": "share of turns that were answered, in closed loop",
    "closed_false_pause": "share of pauses inside a turn into which it spoke",
    "closed_false_backchannel": "share of backchannels to which it gave an answer",
    "closed_false_side": "of talk to somebody else",
    "closed_false_background": "of voices in the background",
    "closed_false_noise": "of noises",
    "closed_false_echo": "of its own voice, as it came back",
    "closed_stop_s": "seconds until it was silent after an interruption, 90 % of them",
    "closed_resume": "share of sounds not meant for it past which it spoke on",
    "closed_scenes": "scenes of these figures",
    "wall_min": "minutes of the whole run",
}
PARTS = {
    "asr_wer_seen": "voices of training: words heard wrong, %",
    "qa_accuracy": "share of the recipe's spoken questions with a right answer",
    "qa_accuracy_text": "the same LLM, by their text",
    "qa_ratio": "the first over the second",
    "qa_ratio_cascade": "of the same by a cascade: the transcript, typed to the LLM",
    "qa_ratio_continuous": "of the best adapter that sends no recognised token",
    "qa_ratio_conv": "of the paper's adapter",
    "asr_wer_llm_seen": "transcripts that the LLM writes of continuous features: wrong words, %",
    "answer_wer_to_text": "answers to speech against those to its text: other words, %",
    "codec_wer": "copies by the codec: words that a recogniser gets wrong, %",
    "speech_wer": "answers spoken at once: words that a recogniser gets wrong, %",
    "prefix_gain": "share of these wrong words that the prefix saves",
    "state_take": "share of turns taken, by the state head alone",
    "state_false_pause": "of pauses and broken-off turns taken",
    "state_false_other": "of other sounds answered",
}
CLOSED = "closed_"  # figures of scripted scenes
FEWEST_SCENES = 10  # of a kind: a share of fewer is no headline
FURTHER = "asr_wer_"  # and the name of any other ASR test set


def headline(
    figures: Mapping[str, Any], seen: str, unseen: str, real: str, unseen_qa: str = "test_unseen"
) -> dict[str, float | None]:
    """One model's figures of `score_root` for the table; None for what was not measured.

    seen, unseen, real: names of the ASR test sets of known and of unknown voices, and of recorded human speech. Every
    further one gets a key of its own. unseen_qa: the set of spoken questions by an unknown voice.
    """
    names = {"seen": seen, "unseen": unseen, "real": real, "served": served_setting(figures.get("speech", {}))}
    names |= {"unseen_qa": unseen_qa} | dict.fromkeys(QA, "")
    names |= {same_set(name): name for name in figures.get("qa", {}).get("sets", ()) if same_set(name) in QA}
    further = [name for name in figures.get("asr", ()) if name not in (seen, unseen, real)]
    paths = {f"{FURTHER}{name}": f"asr/{name}/chunk4/percent" for name in further} | HEADLINE
    found: dict[str, float | None] = {}
    for key, path in paths.items():
        value: Any = figures
        for part in path.split("/"):
            value = value.get(part.format(**names)) if isinstance(value, Mapping) else None
        found[key] = round(value, 4) if isinstance(value, float) else value
    scenes = figures.get("duplex", {})
    if scenes.get("scenes", 0) < FEWEST_SCENES * len(scenes.get("kinds", ())):
        found |= {key: None for key in found if key.startswith(CLOSED)}
    return found


def continuous(models: Mapping[str, Mapping[str, Any]], seen: str) -> dict[str, float | None]:
    """Figures of the adapter, of those in CONTINUOUS, with which most spoken questions are answered as in text; None
    without one. models: by the adapter's name, each with figures of `score_root`.

    qa_ratio_continuous: its qa_ratio; qa_ratio_conv: that of the paper's adapter, be it the best or not;
    asr_wer_llm_seen: WER of the transcripts that the LLM writes of what the best sends.
    """
    mine = [models[name] for name in CONTINUOUS if name in models]
    best = max(mine, key=lambda one: (one.get("qa") or {}).get("ratio") or 0.0, default={})
    written = best.get("asr", {}).get(seen, {}).get("llm", {})
    ratios = [(one.get("qa") or {}).get("ratio") for one in (best, models.get("conv", {}))]
    found = *ratios, written.get("percent")
    return {key: None if value is None else round(value, 4) for key, value in zip(CONTINUOUS_KEYS, found, strict=True)}


def stage_seconds(folder: Path | None) -> dict[str, float]:
    """Seconds of every stage that has run, from files `seconds.<stage>`; empty without a folder."""
    if folder is None:
        return {}
    found = {path.suffix[1:]: float(path.read_text().strip()) for path in folder.glob("seconds.*")}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def wall_min(stages: Mapping[str, float], scoring_s: float) -> float | None:
    """Minutes from data to RESULTS.md: stages 1 to 11 without test sets of others, and the scoring under way."""
    before = [seconds for stage, seconds in stages.items() if int(stage) < 12]
    return round((sum(before) + scoring_s) / 60, 2) if before else None


def read_results(path: Path) -> dict[str, Any]:
    """Raises TableError for a file that is not a results file."""
    try:
        results = read_json(path, "run stage 12 again")
        results["scale"], results["models"]
    except (KeyError, TypeError) as error:
        raise TableError(f"{path}: no results of stage 12 ({error}); run it again") from None
    return results


def pack_sizes(folder: str | Path) -> dict[str, Any]:
    """Size of a packed model: parameters by part (the first word of a tensor's name), their sum, megabytes on disk."""
    parts: dict[str, int] = {}
    files = sorted(Path(folder).glob("*.safetensors"))
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.offset_keys():  # in the order of the file
                    part = name.split(".")[0]
                    parts[part] = parts.get(part, 0) + math.prod(file.get_slice(name).get_shape())
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file ({error}); pack the model again") from None
    size = sum(path.stat().st_size for path in files)
    return {"parameters": parts, "total": sum(parts.values()), "megabytes": round(size / 1e6, 1)}


def render(title: str, results: Sequence[Results], pictures: Sequence[tuple[str, str]], notes: str = "") -> str:
    """All of RESULTS.md. pictures: titles and paths as the file links them. notes: the recipe's own, as Markdown."""
    lines = [f"# {title}", "", "Generated by stage 12 from results/*.json; do not edit.", ""]
    toys = [result["scale"] for result in results if result["toy"]]
    text = "is a toy: it proves that the stages fit together. Its figures mean nothing as results."
    lines += [line for scale in toys for line in (f"**Scale {scale} {text}**", "")]
    further = [key for result in results for key in result if key.startswith(FURTHER) and key not in KEYS]
    heard = {key: f"words of `{key.removeprefix(FURTHER)}` heard wrong, %" for key in further}
    lines += _section("What a user gets", _figures(results, heard | USER))
    lines += _section("The recipe's own test sets, and parts", _figures(results, PARTS))
    lines += _section("To be known when reading them", [notes.strip(), ""] if notes.strip() else [])
    for section in (section for subject in SUBJECTS.values() for section in subject.SECTIONS):
        paper = section.paper and not toys and f"The paper, on other data and at another size: {section.paper}."
        found = list(figures_of(results, section.name))
        lines += _section(section.title, section.lines(found) if found else [], paper or "")
    lines += _section("Sizes", _sizes(results))
    lines += _section("Data", _data(results))
    lines += _section("Pictures", [line for title, path in pictures for line in (f"![{title}]({path})", "")])
    lines += _section("How these figures were made", _provenance(results))
    return "\n".join(lines).rstrip() + "\n"


def _figures(results: Sequence[Results], keys: Mapping[str, str]) -> list[str]:
    """Headline figures with their meaning; a scale without closed-loop scenes need not have lines for them."""
    closed = [key for key in keys if key.startswith(CLOSED) and all(result.get(key) is None for result in results)]
    rows = [
        [f"`{key}`", what, *(number(result.get(key), 3) for result in results)]
        for key, what in keys.items()
        if key not in closed
    ]
    return table(["figure", "what", *(result["scale"] for result in results)], rows)


def _section(title: str, lines: Sequence[str], note: str = "") -> list[str]:
    return [f"## {title}", "", *([note, ""] if note else []), *lines] if lines else []


def _sizes(results: Sequence[Results]) -> list[str]:
    rows = []
    for result in results:
        for name, sizes in result["sizes"].items():
            parts = ", ".join(f"{part} {count / 1e6:.2f}" for part, count in sizes["parameters"].items())
            rows.append([f"{result['scale']}, {name}", f"{sizes['total'] / 1e6:.2f}", parts, sizes["megabytes"]])
    return table(["model", "M parameters", "by part", "MB"], rows)


def _data(results: Sequence[Results]) -> list[str]:
    rows = []
    for result in results:
        for one in result.get("sources", ()):
            known = [one["voices"] or MISSING, one["utterances"], number(one["minutes"], 1)]
            cells = [MISSING, MISSING, one["missing"]] if one["missing"] else known
            rows.append([f"{result['scale']}, {one['set']}", one["source"], *cells])
    return table(["set", "source", "voices", "utterances", "minutes"], rows)


def _provenance(results: Sequence[Results]) -> list[str]:
    lines = []
    for result in results:
        made, machine = result["provenance"], result["provenance"]["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
        stages = ", ".join(f"{stage}: {seconds:.0f}" for stage, seconds in result["stage_seconds"].items())
        facts = [f"- {name}: {text}" for name, text in result["facts"].items()]
        lines += [
            f"Scale {result['scale']}:",
            "",
            f"- command: `{made['command']}`",
            f"- commit {made['commit']}, seed {made['seed']}, {made['date']}",
            f"- machine: {processor(machine)}, {machine['memory_gb']} GB, {machine['system']}",
            f"- libraries: {versions}",
            f"- seconds of each stage: {stages or '-'}; in all {number(result.get('wall_min'), 1)} min",
            *facts,
            "",
        ]
    return lines
