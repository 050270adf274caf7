"""What is stored with a result."""

from pathlib import Path

from freeze_omni.eval.provenance import provenance, without_home


def test_no_path_of_the_users_home_is_published():
    assert without_home(f"--llm {Path.home()}/models/llm --root exp") == "--llm ~/models/llm --root exp"


def test_names_command_commit_seed_and_machine():
    found = provenance(seed=7, started_s=0.0)
    assert found["seed"] == 7 and found["seconds"] > 0
    assert {"command", "commit", "machine", "versions", "date"} <= set(found)
    assert found["machine"]["cores"] >= 1
