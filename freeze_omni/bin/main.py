"""The `freeze-omni` command: one subcommand for each tool, imported only when used."""

import argparse
import importlib
import os
import sys

# task: {name: (module of freeze_omni.bin, what it does)}
TASKS = {
    "use a model": {
        "answer": ("answer", "answer a spoken question from a sound file"),
        "serve": ("serve", "serve a model over WebSockets"),
        "chat": ("chat", "talk to a served model from a terminal"),
    },
    "train one": {
        "prepare-corpus": ("prepare_corpus", "turn a published corpus into data directories"),
        "check-llm": ("check_llm", "check whether an LLM can be the frozen backbone"),
        "train": ("train", "train one stage"),
        "pack": ("pack", "join the folders of the training stages to one model folder"),
    },
    "measure it": {
        "decode": ("decode", "decode all test sets with a packed model (stage 11)"),
        "score": ("score", "score what was decoded (stage 12)"),
        "results": ("results", "write RESULTS.md from the figures of one or more scales"),
        "eval": ("evaluate", "score a packed model, or a folder of another system's outputs"),
        "duplex-scenes": ("duplex_scenes", "compose scripted two-voice scenes for eval duplex"),
        "suite": ("run_suite", "write the input of a public test suite's scorer"),
    },
    "exchange models": {
        "upload": ("upload", "upload a packed model to the hub, with a model card"),
        "import-lora": ("import_lora", "turn a LoRA in peft's format into a checkpoint"),
        "export-lora": ("export_lora", "write the LoRA of a packed model in peft's format"),
        "import-released": ("import_released", "turn the published checkpoints into a model folder"),
        "export-released": ("export_released", "write a model in the layout of the published ones"),
        "check-golden": ("check_golden", "compare a model with a recording, key by key"),
    },
}
COMMANDS = {name: command for commands in TASKS.values() for name, command in commands.items()}


def _complete() -> None:
    """Candidates for the shell, by argcomplete: commands; options of a command, whose module is imported for them."""
    import argcomplete

    name, *rest = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])].split(" ")[1:] or [""]
    if not rest:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("command", choices=COMMANDS)
        argcomplete.autocomplete(parser)
    elif name in COMMANDS and rest[-1].startswith("-"):  # all else are files, which the shell knows
        os.environ["_ARGCOMPLETE"] = "2"  # the command's own name is the program's
        argparse.ArgumentParser.parse_args = lambda parser, *_: argcomplete.autocomplete(parser)  # type: ignore
        importlib.import_module(f"freeze_omni.bin.{COMMANDS[name][0]}").main()


def main(arguments: list[str] | None = None) -> None:
    """Run the subcommand named first. Exits with an error for an unknown one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: freeze-omni COMMAND [options]")
        for task, commands in TASKS.items():
            print("\n".join([f"\n{task}:", *(f"  {name:<17}{text}" for name, (_, text) in commands.items())]))
        print("\nDetails: freeze-omni COMMAND --help")
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
