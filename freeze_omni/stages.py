"""The training stages: what each takes over, trains and saves. The one owner of the stage graph; imports no torch."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError, read_yaml

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One training stage.

    number: of the paper; 1.0, of a pretrained speech encoder, is ours. name: of its task, as `freeze_omni.bin.train`
    takes it. task: its class, in the module freeze_omni.tasks.<name>. trains: parts that learn here, and so stand in
    its checkpoint. takes: parts of earlier stages, each from the last stage that saved it. only_if, unless: part -> key
    of `model:` without which, or with which, the part is neither trained nor saved here. reads: stages whose output is
    among the training data. adapters: whether there is one training, and one configuration, for each adapter.
    """

    number: str
    name: str
    task: str
    trains: tuple[str, ...]
    takes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    only_if: Mapping[str, str] = field(default_factory=dict, hash=False)
    unless: Mapping[str, str] = field(default_factory=dict, hash=False)
    reads: tuple[str, ...] = ()
    adapters: tuple[bool, bool] = (False, False)

    def folder(self, adapter: str) -> str:
        return f"{self.number}_{self.name}" + (f"_{adapter}" if self.adapters[0] else "")

    def config(self, adapter: str) -> str:
        """Name of its YAML in conf/<scale>."""
        return f"{self.number}_{self.name}" + (f"_{adapter}.yaml" if self.adapters[1] else ".yaml")

    def saves(self, model: Config) -> tuple[str, ...]:
        return tuple(part for part in self.keeps + self.trains if self._has(part, model))

    def learns(self, model: Config) -> tuple[str, ...]:
        return tuple(part for part in self.trains if self._has(part, model))

    def _has(self, part: str, model: Config) -> bool:
        wanted = part not in self.only_if or bool(model.get(self.only_if[part]))
        return wanted and not model.get(self.unless.get(part, ""))


TUNING = "llm_tuning"  # learned with the LLM: it goes wherever the parts go that learned with it
STAGES = (
    Stage("1.0", "frontend", "FrontendTask", ("frontend",), only_if={"frontend": "frontend"}),
    Stage(
        "1.1", "encoder", "EncoderTask", ("encoder", "ctc", "spelling"),
        takes=("frontend",), keeps=("frontend",), only_if={"frontend": "frontend", "spelling": "spelling"},
    ),
    Stage(
        "1.2", "adapter", "AdapterTask", ("encoder", "adapter", "task_tokens", "filler", "ctc", TUNING),
        takes=("frontend", "encoder", "ctc"), keeps=("frontend",),
        only_if={"frontend": "frontend", "filler": "learned_filler", "ctc": "ctc_weight", TUNING: TUNING},
        unless={"encoder": "still_encoder"},
        adapters=(True, True),
    ),
    Stage(
        "1.3", "dialogue", "DialogueTask", ("prompt", "state_head", TUNING),
        takes=("frontend", "encoder", "ctc", "adapter", TUNING), only_if={TUNING: TUNING}, adapters=(True, False),
    ),
    Stage("2.1", "codec", "CodecTask", ("codec", "discriminator"), only_if={"discriminator": "gan"}),
    Stage("2.2", "speech_decoder", "SpeechDecoderTask", ("speech_decoder",), reads=("codec",)),
    Stage("2.3", "prefix", "PrefixTask", ("speech_decoder",), takes=("speech_decoder", TUNING), reads=("codec",)),
)  # fmt: skip
OF_PAPER = tuple(one for one in STAGES if one.name != "frontend")  # those of a run without --encoder
PACKED = (
    "frontend", "encoder", "ctc", "adapter", "task_tokens", "prompt", "state_head", TUNING, "codec", "speech_decoder"
)  # fmt: skip


def stage(name: str) -> Stage:
    """By its task's name. Raises ConfigError."""
    stages = {one.name: one for one in STAGES}
    if name not in stages:
        raise ConfigError(f"no stage '{name}'; the stages are {', '.join(stages)}")
    return stages[name]


def sources(name: str, model_of: Callable[[Stage], Config]) -> dict[Stage, tuple[str, ...]]:
    """Which parts the stage `name`, or the packed model ("pack"), takes from which, by the `model:` of earlier ones."""
    wanted = PACKED if name == "pack" else stage(name).takes
    earlier = STAGES if name == "pack" else STAGES[: STAGES.index(stage(name))]
    if name != "encoder":
        earlier = tuple(one for one in earlier if one.name != "frontend")  # 1.1 keeps the one that it was trained on
    saver = {part: one for one in earlier for part in one.saves(model_of(one)) if part in wanted}
    return {one: tuple(part for part in wanted if saver.get(part) is one) for one in earlier if one in saver.values()}


AFTER_INIT = ("dialogue", "prefix")  # what a run with --init_model trains; all else is the packed model's


def packed_parts(pack: Config) -> tuple[str, ...]:
    """The parts that a packed model has, by its config.yaml."""
    absent = {part: not pack.get(part) for part in ("frontend", "task_tokens", TUNING)}
    absent["ctc"] = not pack.get("ctc_units")
    return tuple(part for part in PACKED if not absent.get(part))


def words(taken: Mapping[Stage, Iterable[str]], path_of: Callable[[Stage], Path]) -> list[str]:
    """As --init_parts and --parts take them: PATH:PART,PART."""
    return [f"{path_of(one)}:{','.join(parts)}" for one, parts in taken.items()]


@dataclass(frozen=True)
class Run:
    """The training folders of a run below `exp`, with one adapter.

    A tag (--tag) is a second configuration: it has its own folders, exp/tags/<tag>/, for the stages that it configures
    in another way (`changed`) and for those that build on them. All others are the untagged run's. checkpoint: name of
    the averaged checkpoint that later stages take, without `.pth`. init: the packed model that the run starts from.
    """

    exp: Path
    adapter: str
    tag: str = ""
    changed: Collection[str] = ()
    checkpoint: str = "valid.loss.ave"
    init: str = ""

    def own(self, one: Stage) -> bool:
        """Whether the tag has its own training: it differs, builds on one that does, or the untagged run lacks it."""
        if not self.tag:
            return False
        if one.name in self.changed or not (self.exp / one.folder(self.adapter) / f"{self.checkpoint}.pth").exists():
            return True
        return any(self.own(source) for source in (*sources(one.name, self.model), *map(stage, one.reads)))

    def folder(self, one: Stage) -> Path:
        return (self.exp / "tags" / self.tag if self.own(one) else self.exp) / one.folder(self.adapter)

    def model(self, one: Stage) -> Config:
        """The configuration that it was trained with; empty before that."""
        path = self.folder(one) / "config.yaml"
        return read_yaml(path).get("model", {}) if path.exists() else {}

    def parts(self, name: str) -> list[str]:
        """--init_parts of the stage `name`, or --parts of the packed model ("pack")."""
        return self.parts_of(name, self.model, self.file)

    def file(self, one: Stage) -> Path:
        """The checkpoint that later stages take."""
        return self.folder(one) / f"{self.checkpoint}.pth"

    def parts_of(self, name: str, model_of: Callable[[Stage], Config], path_of: Callable[[Stage], Path]) -> list[str]:
        """The same by the `model:` of each stage; with `init` its parts stand for those not trained after it."""
        taken = sources(name, model_of)
        if not self.init:
            return words(taken, path_of)
        taken = {one: parts for one, parts in taken.items() if one.name in AFTER_INIT}
        found = words(taken, path_of)
        if name == "pack":
            return found
        trained = {part for parts in taken.values() for part in parts}
        packed = packed_parts(read_yaml(Path(self.init) / "config.yaml"))
        rest = [part for part in stage(name).takes if part in packed and part not in trained]
        return [f"{self.init}:{','.join(rest)}", *found]
