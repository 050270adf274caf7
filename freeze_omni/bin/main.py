"""The `freeze-omni` command: one subcommand for each tool, imported only when used."""

import importlib
import sys

# name: (module of freeze_omni.bin, what it does)
COMMANDS = {
    "answer": ("answer", "answer a spoken question from a sound file"),
    "pack": ("pack", "join the folders of the training stages to one model folder"),
    "decode": ("decode", "decode all test sets with a packed model (stage 11)"),
    "score": ("score", "score what was decoded (stage 12)"),
    "results": ("results", "write RESULTS.md from the figures of one or more scales"),
    "eval": ("evaluate", "score a packed model, or a folder of another system's outputs"),
    "duplex-scenes": ("duplex_scenes", "compose scripted two-voice scenes for eval duplex"),
    "suite": ("run_suite", "write the input of a public test suite's scorer"),
    "prepare-corpus": ("prepare_corpus", "turn a published corpus into data directories"),
    "check-llm": ("check_llm", "check whether an LLM can be the frozen backbone"),
    "train": ("train", "train one stage"),
    "import-released": ("import_released", "turn the published checkpoints into a model folder"),
    "export-released": ("export_released", "write a model in the layout of the published ones"),
    "check-golden": ("check_golden", "compare a model with a recording, key by key"),
    "serve": ("serve", "serve a model over WebSockets"),
    "chat": ("chat", "talk to a served model from a terminal"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run the subcommand named first. Exits with an error for an unknown one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<18}{COMMANDS[name][1]}" for name in COMMANDS]
        print(
            "\n".join(["usage: freeze-omni COMMAND [options]", "", *lines, "", "Details: freeze-omni COMMAND --help"])
        )
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("freeze-omni"))
        return
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        sys.exit(f"freeze-omni: error: no command '{name}'; there are {', '.join(COMMANDS)}")
    sys.argv = [f"freeze-omni {name}", *rest]
    code = importlib.import_module(f"freeze_omni.bin.{COMMANDS[name][0]}").main()
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
