"""Hook of mkdocs.yml: the site has the pages where the repository has them, so that links between them hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "*.png", "CITATION.cff", "docs/*.py", "docs/*.json", "freeze_omni/*.py")  # some pages link to source


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All pages and pictures that git does not ignore, in place of those of the folder docs alone."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PAGES]
    listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    theme = [file for file in files if file.src_dir != config.docs_dir]
    names = [name for name in dict.fromkeys(listed.stdout.split("\0")) if name and (ROOT / name).is_file()]
    return Files([*theme, *(File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in names)])
