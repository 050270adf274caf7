"""Answer a spoken question: prints what was heard, the state decisions and the answer, writes the spoken answer."""

import argparse
import json
import sys
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.audio import read_question, write_wav
from freeze_omni.eval.question import ask, event_line, report, summary
from freeze_omni.eval.runner import load_model
from freeze_omni.session.events import Action
from freeze_omni.session.session import SessionConfig

NO_ANSWER = 3  # exit code if all went well and the model had nothing to say


@user_errors(name="answer")
def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line for a sound or a model that cannot be used, with 3 if no answer was spoken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="packed model: a folder or a hub id")
    gguf = "GGUF file by which llama.cpp computes the LLM, on a CPU"
    parser.add_argument("--llm_gguf", type=Path, metavar="FILE", help=gguf)
    parser.add_argument("--input", required=True, type=Path, help="question: wav, flac, ogg")
    parser.add_argument("--output", type=Path, help="where the spoken answer goes (24 kHz wav)")
    stream = "print everything as it comes, with its time, 160 ms of the question at a time"
    parser.add_argument("--stream", action="store_true", help=stream)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--seed", type=int, default=0, help="seed of all sampling")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as found")
    chosen = parser.parse_args(arguments)
    model = load_model(chosen.model, chosen.threads, chosen.seed, gguf=chosen.llm_gguf)
    sound, notes = read_question(chosen.input, model.rates.input_hz)
    for note in notes:
        print(f"note: {chosen.input}: {note}", file=sys.stderr)
    watch = _show if chosen.stream and not chosen.json else None
    asked = ask(model, sound, SessionConfig(seed=chosen.seed), watch=watch)
    if chosen.output is not None and len(asked.audio):
        write_wav(chosen.output, asked.audio, model.rates.output_hz)
    found = summary(asked, model.rates.output_hz)
    found["output"] = str(chosen.output) if chosen.output and len(asked.audio) else None
    if chosen.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print("\n".join(report(found, chosen.stream)))
    if not len(asked.audio):
        print(f"answer: {chosen.input}: no answer was spoken (heard: '{found['transcript']}')", file=sys.stderr)
        sys.exit(NO_ANSWER)


def _show(action: Action, time_s: float) -> None:
    if line := event_line(action):
        print(f"{time_s:7.3f} s  {line}", flush=True)


if __name__ == "__main__":
    main()
