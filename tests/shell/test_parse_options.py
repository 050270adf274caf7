"""utils/parse_options.sh: Kaldi's meaning of options."""

import pytest

from tests.shell.bash import UTILS, run

SCRIPT = """#!/usr/bin/env bash
# What this script is for.
set -euo pipefail

# Group one
nj=4           # Number of jobs.
name_of_it="a b"  # A name.
empty=         # Nothing yet.
flag=false     # A switch.
here=$(pwd)
. {utils}/parse_options.sh
echo "$nj|$name_of_it|$empty|$flag|$#|$*"
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text(SCRIPT.format(utils=UTILS))
    return path


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "4|a b||false|0|"),
        (["--nj", "8", "x", "--nj", "9"], "8|a b||false|3|x --nj 9"),
        (["--name-of-it", "it's $HOME; `x`"], "4|it's $HOME; `x`||false|0|"),
        (["--empty", "--opts --here", "--flag", "true", "y"], "4|a b|--opts --here|true|1|y"),
        (["--flag", "true", "--", "--nj"], "4|a b||true|1|--nj"),
    ],
)
def test_values(script, arguments, printed):
    assert run("bash", script, *arguments).stdout.rstrip("\n") == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "8"], "unknown option --jobs"),
        (["--nj=8"], "write --nj=8 as '--nj 8'"),
        (["--nj"], "--nj needs a value"),
        (["--flag", "1"], "--flag is true or false, not '1'"),
        (["--config", "/no/such"], "--config /no/such: no such file"),
    ],
)
def test_errors(script, arguments, message):
    result = run("bash", script, *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stdout == ""


def test_command_line_wins_over_config(script, tmp_path):
    config = tmp_path / "my.conf"
    config.write_text("nj=2\nempty=full\n")
    out = run("bash", script, "--nj", "3", "--config", config, "z").stdout
    assert out == "3|a b|full|false|1|z\n"


def test_help_is_made_from_the_option_lines(script):
    out = run("bash", script, "--help").stdout
    assert "What this script is for." in out
    assert "Group one:" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  --")] == [
        "--nj",
        "--name_of_it",
        "--empty",
        "--flag",
    ]
    assert "Number of jobs. [4]" in out


def test_help_message_of_the_script_is_preferred(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text(f"help_message='Just this.'\nnj=1  # no\n. {UTILS}/parse_options.sh\n")
    assert run("bash", path, "--help").stdout == "Just this.\n"
