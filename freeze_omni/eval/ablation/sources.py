"""Where the rows take their data, and what is trained already: a finished recipe (egs/mini/s2s1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, read_yaml


@dataclass(frozen=True)
class Sources:
    """Folders of the recipe that the rows build on, and the names of its sets.

    conf: one YAML for each stage, as the recipe was trained with. reference: data directories <set>/ with the
    reference answers. checkpoint: the name of the file that later stages take.
    """

    exp: Path
    dump: Path
    data: Path
    conf: Path
    reference: Path
    asr_train: str = "asr_train"
    asr_valid: str = "asr_dev"
    asr_tests: tuple[str, ...] = ("asr_test_seen", "asr_test_unseen")
    dialogue_train: str = "train"
    dialogue_valid: str = "dev"
    qa_test: str = "test"
    spoken_test: str = "spoken_test"
    tts_train: str = "tts_train_and_answers"
    tts_valid: str = "tts_dev"
    checkpoint: str = "valid.loss.ave.pth"

    def trained(self, folder: str) -> Path:
        """The checkpoint of a training of the recipe."""
        return self.exp / folder / self.checkpoint

    def option(self, name: str) -> str:
        """What the recipe's dialogue training was called with: `llm` or `system`. Raises ConfigError without it."""
        found = sorted(self.exp.glob("1.3_dialogue_*/config.yaml"))
        value = read_yaml(found[0]).get(name) if found else None
        if value is None:
            raise ConfigError(f"{self.exp}: no 1.3_dialogue_*/config.yaml with '{name}' in it; give --{name}")
        return value

    def missing(self) -> list[Path]:
        """What every row needs and the recipe has not made yet."""
        needed = [self.trained(stage) for stage in ("1.1_encoder", "2.1_codec", "2.2_speech_decoder", "2.3_prefix")]
        needed += [self.dump / "dialogue" / name / "answer" for name in (self.dialogue_train, self.dialogue_valid)]
        needed += [self.dump / "dialogue" / self.qa_test / "questions.jsonl", self.data / "token_list" / "units.json"]
        return [path for path in needed if not path.exists()]
