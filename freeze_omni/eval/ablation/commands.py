"""A row's steps as commands: the trainings that differ, one packed model, decoding, scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freeze_omni.data.tables import read_table
from freeze_omni.eval.ablation.plan import TUNING, RowPlan
from freeze_omni.eval.ablation.rows import STAGES
from freeze_omni.eval.ablation.steps import Step

TASKS = dict(zip(STAGES, ("encoder", "adapter", "dialogue", "speech_decoder", "prefix"), strict=True))
TABLES = ("text", "answer", "tokens")  # of a data directory: what is learned from beside sound


def steps(plan: RowPlan) -> list[Step]:
    """In their order."""
    return [*trainings(plan), pack(plan), *decoders(plan), score(plan)]


def trainings(plan: RowPlan) -> list[Step]:
    """Of the stages that the row does not share with its recipe."""
    return [_train(plan, stage) for stage in plan.trained]


def pack(plan: RowPlan) -> Step:
    """The row's model: its own parts, and the recipe's where it has none."""
    said = ["prompt", "state_head", *([TUNING] if plan.tuned("1.3_dialogue") else [])]
    parts = [*_listening_parts(plan), plan.parts("1.3_dialogue", *said)]
    parts += [f"{plan.sources.trained('2.1_codec')}:codec", plan.parts("2.3_prefix", "speech_decoder")]
    words = ["--output", plan.folder / "system", "--llm", plan.options.llm, "--link_llm"]
    words += ["--units", plan.sources.data / "token_list", "--system", plan.options.system]
    words += ["--voice", _voice(plan), "--parts", *parts]
    return Step("pack", "pack", _texts(words), plan.folder / "system", _files(parts))


def decoders(plan: RowPlan) -> list[Step]:
    """One for each test set of what is measured."""
    names, measure, jobs = plan.sources, plan.row.measure, []
    if "asr" in measure:
        jobs += [("decode_asr", names.dump / "raw" / name, f"asr_{name}") for name in names.asr_tests]
    if "qa" in measure:
        jobs.append(("decode_qa", names.dump / "dialogue" / names.qa_test, "qa"))
    if "tts" in measure:
        jobs.append(("decode_tts", names.dump / "dialogue" / names.spoken_test, "tts"))
    return [_decoder(plan, *job) for job in jobs]


def score(plan: RowPlan) -> Step:
    """All figures of the row, as stage 12 makes them."""
    options, output, scale = plan.options, plan.folder / "results.json", plan.sources.conf.name
    words = ["--root", f"{plan.name}={plan.folder / 'decode'}", "--output", output, "--scale", scale]
    words += ["--config", options.decode, "--seed", options.seed]
    words += ["--judge", options.judge] if options.judge else []
    words += ["--toy"] if scale == "tiny" else []
    inputs = (*(step.output / "decode.json" for step in decoders(plan)), options.decode)
    return Step("score", "score", _texts(words), output, inputs)


def _train(plan: RowPlan, stage: str) -> Step:
    options, sources, output = plan.options, plan.sources, plan.folder / stage
    conf, config = plan.folder / "conf" / f"{stage}.yaml", plan.config(stage)
    train, valid = _data(plan, stage)
    parts = _init_parts(plan, stage)
    words: list[Any] = ["--config", conf, "--output_dir", output, "--ngpu", options.ngpu, "--seed", options.seed]
    words += ["--num_threads", options.threads, "--train_dir", *train, "--valid_dir", *valid]
    words += ["--multiprocessing_distributed", "true"] if options.ngpu > 1 else []
    words += ["--units", sources.data / "token_list"] if stage.startswith("1.") else []
    words += ["--cmvn", sources.exp / "stats/train/feats_stats.npz"] if stage == "1.1_encoder" else []
    words += ["--llm", options.llm] if stage != "1.1_encoder" else []
    words += ["--system", options.system] if stage in ("1.2_adapter", "1.3_dialogue", "2.3_prefix") else []
    words += ["--init_parts", *parts] if parts else []
    tables = (folder / name for folder in train for name in TABLES)
    inputs = (*_files(parts), *(path for path in tables if path.exists()))
    minutes = float(config.get("max_minutes") or 0)
    return Step(stage, "train", (TASKS[stage], *_texts(words)), output, inputs, config, conf, minutes)


def _listening_parts(plan: RowPlan) -> list[str]:
    """Encoder, CTC head, adapter; stage 1.2 holds no CTC head where it does not train it."""
    if plan.config("1.2_adapter")["model"].get("ctc_weight"):
        return [plan.parts("1.2_adapter", "encoder", "ctc", "adapter")]
    return [plan.parts("1.2_adapter", "encoder", "adapter"), plan.parts("1.1_encoder", "ctc")]


def _init_parts(plan: RowPlan, stage: str) -> list[str]:
    if stage == "1.2_adapter":
        return [plan.parts("1.1_encoder", "encoder", "ctc")]
    if stage == "1.3_dialogue":
        tuning = [plan.parts("1.2_adapter", TUNING)] if plan.tuned("1.2_adapter") else []
        return _listening_parts(plan) + tuning
    if stage == "2.3_prefix":
        tuning = [plan.parts("1.3_dialogue", TUNING)] if plan.tuned("1.3_dialogue") else []
        return [plan.parts("2.2_speech_decoder", "speech_decoder"), *tuning]
    return []


def _data(plan: RowPlan, stage: str) -> tuple[list[Path], list[Path]]:
    """Directories of training and of development; a file is taken from the first that has it."""
    names = plan.sources
    dump, dialogues = names.dump, (names.dialogue_train, names.dialogue_valid)
    spoken = (names.tts_train, names.tts_valid)
    if stage == "2.2_speech_decoder":
        train, valid = ([dump / "codec" / name, dump / "raw" / name] for name in spoken)
    elif stage == "2.3_prefix":
        train, valid = ([dump / "codec" / name, dump / "dialogue" / name / "answers"] for name in dialogues)
    elif stage == "1.3_dialogue" or plan.config(stage)["model"].get("targets") == "answers":
        train, valid = ([dump / "dialogue" / name] for name in dialogues)
        if plan.row.answers == "reference":
            train, valid = [names.reference / dialogues[0], *train], [names.reference / dialogues[1], *valid]
    else:
        train, valid = ([dump / "raw" / name] for name in (names.asr_train, names.asr_valid))
    return train, valid


def _voice(plan: RowPlan) -> str:
    """The sentence whose voice the recipe speaks with."""
    table = plan.sources.dump / "raw" / plan.sources.tts_valid / "wav.scp"
    return next(iter(read_table(table).values())) if table.exists() else str(table)


def _decoder(plan: RowPlan, module: str, data: Path, name: str) -> Step:
    options, system, output = plan.options, plan.folder / "system", plan.folder / "decode" / name
    words = ["--model", system, "--data", data, "--output", output, "--config", options.decode]
    words += ["--seed", options.seed, "--threads", options.threads]
    inputs = (system / "config.yaml", system / "model.safetensors", options.decode, data / "text")
    return Step(f"decode_{name}", module, _texts(words), output, inputs)


def _files(parts: list[str]) -> tuple[Path, ...]:
    return tuple(Path(text.rpartition(":")[0]) for text in parts)


def _texts(words: list[Any]) -> tuple[str, ...]:
    return tuple(map(str, words))
