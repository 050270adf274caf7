"""Before a run: do the LLM, the CTC units, the configurations of all stages and a packed model fit together?"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from freeze_omni.bin.stages import UNIT_SIZE, Plan, add_plan_options, add_run_options, completed, plans
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.stages import TUNING, Stage, sources, words

KINDS = ("llm", "bpe", "char", "word")


def main(arguments: list[str] | None = None) -> None:
    """Exits with 2 and one line on what does not fit."""
    options = argparse.ArgumentParser(description=__doc__)
    add_plan_options(options)
    add_run_options(options)
    options.add_argument("--unit_kind", choices=KINDS, help="of the units that stage 3 makes")
    options.add_argument("--units", type=Path, help="folder of the units, if stage 3 has made them")
    options.add_argument("--codec_conf", type=Path, help="YAML of a codec of another library")
    options.add_argument("--packs", action="store_true", help="whether the parts are joined to a model in the end")
    chosen = options.parse_args(arguments)
    try:
        check(chosen)
    except ConfigError as error:
        print(f"check_run: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def check(chosen: argparse.Namespace) -> None:
    """Raises ConfigError for the first thing that does not fit."""
    if chosen.init:
        check_init(chosen)
    if chosen.llm:
        check_llm(chosen)
    kind = units_kind(chosen)
    models: dict[Stage, dict[str, Any]] = {}
    for plan in plans(chosen, models):
        check_units(plan, kind)
        if plan.model.get(TUNING) and not (plan.args.llm or chosen.init):
            raise ConfigError(f"{plan.file}: {TUNING} needs an LLM: give --llm")
        try:
            plan.task.dry_run(plan.args)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"{plan.file}: {error}") from None
    known = {one.name: model for one, model in models.items()}
    check_codes(chosen, known)
    if chosen.packs and {"encoder", "adapter", "dialogue", "codec", "prefix"} <= set(known):
        check_system(chosen, models)


def check_llm(chosen: argparse.Namespace) -> None:
    """By loading it as it is stored. Raises LlmError, ChatTemplateError."""
    from freeze_omni.llm.frozen import FrozenLLM
    from freeze_omni.pack import read_config

    packed = read_config(chosen.init) if chosen.init else None
    llm = FrozenLLM.load(chosen.llm, "auto", texts=packed and packed.chat)
    if packed and llm.hidden_size != packed.llm_size:
        width = f"of width {llm.hidden_size}, but --init_model was trained with one of {packed.llm_size}"
        raise ConfigError(f"--llm {chosen.llm}: {width}")
    if chosen.units is not None:
        from freeze_omni.llm.units import CtcUnits

        CtcUnits.load(chosen.units).check_tokenizer(llm.tokenizer, llm.source)


def check_init(chosen: argparse.Namespace) -> None:
    """Raises ConfigError for a folder that is no packed model, or whose speech decoder stage 10 cannot go on with."""
    from freeze_omni.pack import is_pack, read_config

    if not is_pack(chosen.init):
        raise ConfigError(
            f"--init_model {chosen.init}: no packed model; give a folder that stage 13 or an import wrote"
        )
    config = read_config(chosen.init)
    if "prefix" in chosen.stages and config.speech_decoder.length == "predicted":
        why = "its speech decoder learned from durations (length: predicted), which are made with stage 9 alone"
        raise ConfigError(f"--init_model {chosen.init}: {why}: give --skip_stages 10, or train without --init_model")


def units_kind(chosen: argparse.Namespace) -> str | None:
    """The kind of the units that the run works with."""
    folder = Path(chosen.init) / "units" if chosen.init else chosen.units
    if folder is None:
        return chosen.unit_kind
    try:
        return json.loads((folder / "units.json").read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'units.json'}: no description of CTC units ({error}): run stage 3") from None


def check_units(plan: Plan, kind: str | None) -> None:
    """Raises ConfigError for units that an adapter, or its warm start, cannot work with."""
    choice = plan.model.get("adapter") or {}
    for name in ("words", "pool"):
        if choice.get(name) is not None and kind not in (None, "word"):
            raise ConfigError(
                f"{plan.file}: the adapter `{name}` needs units of kind word, not '{kind}': give --unit_kind word"
            )
    if kind in (None, "llm") or choice.get("pool") is not None:
        return
    adapter = choice.get("ctc") or {}
    needs = {"adapter.ctc.posterior: false": adapter.get("posterior"), "no warm_start": plan.model.get("warm_start")}
    for key, needed in needs.items():
        if needed:
            raise ConfigError(
                f"{plan.file}: takes the LLM's embedding of each CTC unit, and units of kind '{kind}' have none: "
                f"give --unit_kind llm, or set {key}"
            )


def check_codes(chosen: argparse.Namespace, known: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigError for a speech decoder that speaks other tokens than the codec's."""
    codec = read_yaml(chosen.codec_conf) if chosen.codec_conf else known.get("codec", {}).get("codec", {})
    size = ((codec or {}).get("quantiser") or {}).get("codebook_size")
    for name in ("speech_decoder", "prefix"):
        codes = (known.get(name, {}).get("speech_decoder") or {}).get("codes")
        if None not in (size, codes) and size != codes:
            raise ConfigError(f"{name}: speech_decoder.codes is {codes}, but the codec has {size} (its codebook_size)")


def check_system(chosen: argparse.Namespace, models: Mapping[Stage, dict[str, Any]]) -> None:
    """Raises ConfigError for parts that cannot be joined to one model, as stages 11 and 13 do."""
    from freeze_omni.checkpoint import PartsSource, inherit_config, sizes
    from freeze_omni.system import SystemConfig

    taken = sources("pack", lambda one: models.get(one, {}))
    parts = [PartsSource.parse(word) for word in words(taken, lambda one: completed(chosen, one))]
    file = chosen.conf / "pack.yaml"
    mapping = inherit_config(read_yaml(file) if file.exists() else {}, parts, str(file))
    states = dict.fromkeys(part for source in parts for part in source.parts)
    llm, units = SimpleNamespace(hidden_size=896), range(UNIT_SIZE)
    build(SystemConfig, mapping | sizes(mapping, states, llm, units, "float32"), str(chosen.conf))


if __name__ == "__main__":
    main()
