#!/usr/bin/env python3
"""Print what is installed against what freeze_omni asks for; exit 1 if a required part is missing.

Reads package metadata only, so it is quick and works while a package itself is broken.
"""

from __future__ import annotations

import shutil
import sys
from importlib import metadata

PURPOSE = {
    "core": "the models and a session",
    "train": "training",
    "eval": "scoring",
    "synth": "speaking training data",
    "serve": "the live server",
    "microphone": "the microphone in freeze-omni chat",
    "recipes": "converting the mini recipe's LLM",
    "dev": "tests and linters",
    "docs": "the pages as a site",
    "completion": "TAB in a shell",
    "kaldiio": "an alternative ark reader",
}
OPTIONAL = {"kaldiio", "microphone"}
PROGRAMS = {
    "perl": ("required", "utils/*.pl"),
    "npm": ("optional", "28 English voices (kokoro-js)"),
    "apt-get": ("optional", "flite voices, recorded prompts"),
    "flite": ("optional", "bulk voices (fetched by tools/installers/get_flite.sh if absent)"),
    "espeak-ng": ("optional", "a further bulk voice"),
    "chromium": ("optional", "tests of the server's page"),
}


def package_rows() -> list[tuple[str, str, str, str, str]]:
    """(package, wanted, found, ok, needed for) of every requirement."""
    from packaging.requirements import Requirement

    rows = []
    for line in metadata.requires("freeze_omni") or []:
        requirement = Requirement(line)
        group = "core"
        if requirement.marker:
            found_groups = [name for name in PURPOSE if f'"{name}"' in str(requirement.marker)]
            group = found_groups[0] if found_groups else "core"
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = "-"
        fits = found != "-" and requirement.specifier.contains(found, prereleases=True)
        ok = "yes" if fits else "optional" if group in OPTIONAL else "NO"
        wanted = str(requirement.specifier) or "any"
        rows.append((requirement.name, wanted, found, ok, PURPOSE.get(group, group)))
    return rows


def program_rows() -> list[tuple[str, str, str, str, str]]:
    """The same for programs on PATH."""
    rows = []
    for name, (kind, purpose) in PROGRAMS.items():
        path = shutil.which(name)
        ok = "yes" if path else "NO" if kind == "required" else "optional"
        rows.append((name, "program", path or "-", ok, purpose))
    return rows


def main() -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 12) <= sys.version_info < (3, 14)
    rows = [("package", "wanted", "found", "ok", "needed for")]
    rows.append(("python", ">=3.12,<3.14", python, "yes" if fits else "NO", "everything"))
    try:
        rows += package_rows()
    except (metadata.PackageNotFoundError, ModuleNotFoundError) as error:
        print(f"{error}: run tools/install.sh", file=sys.stderr)
        return 1
    rows += program_rows()
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        print("  ".join([*cells, row[4]]))
    missing = [row[0] for row in rows[1:] if row[3] == "NO"]
    if missing:
        print(f"missing or of a wrong version: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
