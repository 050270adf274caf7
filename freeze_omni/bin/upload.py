"""Upload a packed model to the hub, with a model card: figures, parts and their licences, how to use it."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.hub import is_hub_id
from freeze_omni.publish import card, upload


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", required=True, type=Path, help="packed model folder")
    options.add_argument("--to", required=True, metavar="USER/NAME", help="repository, made if it is not there")
    licence = "of what was trained, as the hub spells it: apache-2.0, cc-by-4.0, cc-by-nc-4.0, other, ..."
    options.add_argument("--licence", required=True, help=licence)
    parts = "of parts of others, where the pack has no text of it: llm=apache-2.0 frontend=mit"
    options.add_argument("--part_licences", nargs="+", default=[], metavar="PART=LICENCE", help=parts)
    options.add_argument("--card", type=Path, help="a card of your own, such as an edited one of --dry_run")
    options.add_argument("--private", action="store_true", help="a new repository is not public")
    options.add_argument("--revision", help="branch to upload to")
    options.add_argument("--dry_run", action="store_true", help="print the card, upload nothing")
    return options


@user_errors(OSError, ValueError, name="upload")
def main(arguments: list[str] | None = None) -> None:
    """Prints the commit's address. Exits with 1 and one line for a broken pack, or a hub that does not take it."""
    chosen = parser().parse_args(arguments)
    if not is_hub_id(chosen.to) or "@" in chosen.to:
        raise ConfigError(f"--to {chosen.to}: expected USER/NAME, and no folder of this name here")
    for pair in chosen.part_licences:
        if "=" not in pair:
            raise ConfigError(f"--part_licences {pair}: expected PART=LICENCE, as llm=apache-2.0")
    given = dict(pair.split("=", 1) for pair in chosen.part_licences)
    text = card(chosen.model, chosen.to, chosen.licence, given)
    if chosen.card:
        text = chosen.card.read_text(encoding="utf-8")
    if chosen.dry_run:
        print(text, end="")
    else:
        print(upload(chosen.model, chosen.to, text, chosen.private, chosen.revision))


if __name__ == "__main__":
    main()
