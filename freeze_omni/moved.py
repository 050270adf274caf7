"""Where modules of earlier checkouts are now: scripts that import them go on, with a warning that names the place.

Only modules that scripts of users and tests imported are here: tables and dialogues, text, LLM helpers, the protocol.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "data.audio_header": "data.audio",
    "data.corpora.json_stream": "data.corpora.json_files",
    "data.corpora.jsonl": "data.corpora.json_files",
    "data.corpora.merge": "data.corpora.shards",
    "data.dialogue_checks": "data.datadir",
    "data.dialogue_config": "dialogues.plan",
    "data.question_checks": "data.datadir",
    "data.scenes": "duplex.scenes",
    "data.sources": "data.kaldi_dir",
    "data.speak_dialogues": "dialogues.plan",
    "data.tts.registry": "data.tts.synthesize",
    "eval.normalise": "eval.wer",
    "eval.percentiles": "eval.bootstrap",
    "eval.provenance": "provenance",
    "eval.records": "eval.runner",
    "eval.speech": "eval.judge",
    "eval.tables": "eval.report",
    "llm.learned_prefix": "llm.tuned",
    "llm.lora": "llm.tuned",
    "llm.packed": "llm.batch",
    "llm.spellers": "llm.units",
    "server.choices": "server.session_object",
    "server.conversation": "server.protocol",
    "server.pool": "server.router",
    "server.run": "server.app",
    "serving": "engine",
    "serving.capacity": "engine.capacity",
    "serving.config": "engine.config",
    "serving.messages": "engine.worker",
    "serving.metrics": "engine.metrics",
    "serving.playback": "engine.slot",
    "serving.scheduler": "engine.scheduler",
    "serving.seat": "engine.slot",
    "serving.worker": "engine.worker",
    "session.listening": "session.history",
    "session.sound": "data.audio",
    "session.writing": "session.answer",
    "tasks.checkpoint": "checkpoint",
}
RENAMED = {"server.conversation.Conversation": "RealtimeProtocol"}
_PACKAGE = __package__ + "."


class MovedModules(MetaPathFinder, Loader):
    """Finds a module of MOVED: its names are those of the module that took them over, looked up when asked for."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a moved module; None for every other name."""
        old = fullname.removeprefix(_PACKAGE)
        if old not in MOVED or old == fullname:
            return None
        return ModuleSpec(fullname, self, is_package=any(name.startswith(f"{old}.") for name in MOVED))

    def exec_module(self, module: ModuleType) -> None:
        """Give the empty module its names, and say where they are now."""
        old = module.__name__.removeprefix(_PACKAGE)
        new = importlib.import_module(_PACKAGE + MOVED[old])
        warnings.warn(f"{module.__name__} is now {new.__name__}", DeprecationWarning, stacklevel=2)

        def now(name: str) -> Any:
            return getattr(new, RENAMED.get(f"{old}.{name}", name))

        module.__getattr__ = now  # type: ignore[method-assign]


def install() -> None:
    """Ask here for modules that are found nowhere else; once a process."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
