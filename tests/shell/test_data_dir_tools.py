"""utils/*_data_dir.sh and combine_data.sh on whole and on broken directories."""

import pytest

from tests.shell.bash import UTILS, ids, make_data_dir, ok, run


@pytest.fixture
def data(tmp_path):
    return make_data_dir(tmp_path / "data")


def test_validate_passes_and_takes_kaldis_flags(data):
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", data)
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--role", "asr", data)
    (data / "text").unlink()
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", "--no-text", data)
    result = run(UTILS / "validate_data_dir.sh", "--no-feats", data)
    assert result.returncode == 1
    assert f"{data}/text: is missing" in result.stderr


def test_fix_repairs_what_validate_complains_about(data):
    lines = (data / "text").read_text().splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    lines[3] = lines[3].split()[0]
    (data / "text").write_text("\n".join(lines) + "\n")
    (data / "wav" / "s0-u0.wav").unlink()
    broken = run(UTILS / "validate_data_dir.sh", "--no-feats", data)
    assert broken.returncode == 1
    assert f"{data}/text:2: not sorted" in broken.stderr
    assert f"{data}/text:4: s1-u1 has no transcript" in broken.stderr
    assert f"{data}/wav.scp:1: s0-u0: " in broken.stderr
    assert "kept 4 of 6" in ok(UTILS / "fix_data_dir.sh", data)
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", data)
    assert len(ids(data / ".backup" / "text")) == 6


def test_copy_renames_ids_everywhere(data, tmp_path):
    copy = tmp_path / "copy"
    ok(UTILS / "copy_data_dir.sh", "--utt-prefix", "x-", "--spk-prefix", "x-", data, copy)
    assert ids(copy / "wav.scp") == [f"x-{key}" for key in ids(data / "wav.scp")]
    assert ids(copy / "spk2utt") == ["x-s0", "x-s1"]
    assert (copy / "text").read_text().startswith("x-s0-u0 Words of s0-u0.\n")
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", copy)


def test_combine_is_the_union(data, tmp_path):
    copy, both = tmp_path / "copy", tmp_path / "both"
    ok(UTILS / "copy_data_dir.sh", "--utt-suffix", "-2", data, copy)
    ok(UTILS / "combine_data.sh", both, data, copy)
    assert sorted(ids(both / "text")) == sorted(ids(data / "text") + ids(copy / "text"))
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", both)


def test_combine_refuses_one_id_for_two_things(data, tmp_path):
    other = make_data_dir(tmp_path / "other")
    result = run(UTILS / "combine_data.sh", tmp_path / "both", data, other)
    assert result.returncode == 1
    assert "stands for different things" in result.stderr


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--first", "2"], ["s0-u0", "s0-u2"]),
        (["--last", "2"], ["s1-u3", "s1-u5"]),
        (["--per-spk", "1"], ["s0-u0", "s1-u1"]),
        (["--speakers", "3"], ["s0-u0", "s0-u2", "s0-u4"]),
        (["", "3"], ["s0-u2", "s1-u1", "s1-u5"]),
    ],
)
def test_subset(data, tmp_path, options, chosen):
    how, number = options
    words = [how] if how else []
    ok(UTILS / "subset_data_dir.sh", *words, data, number, tmp_path / "some")
    assert ids(tmp_path / "some" / "wav.scp") == chosen
    assert "is fine" in ok(UTILS / "validate_data_dir.sh", "--no-feats", tmp_path / "some")


def test_subset_by_list_and_by_length(data, tmp_path):
    (tmp_path / "list").write_text("s1-u3\ns0-u0\n")
    ok(UTILS / "subset_data_dir.sh", "--utt-list", tmp_path / "list", data, tmp_path / "a")
    assert ids(tmp_path / "a" / "text") == ["s0-u0", "s1-u3"]
    lengths = [f"{key} {100 - i}\n" for i, key in enumerate(ids(data / "text"))]
    (data / "utt2num_samples").write_text("".join(lengths))
    ok(UTILS / "subset_data_dir.sh", "--shortest", data, "1", tmp_path / "b")
    assert ids(tmp_path / "b" / "text") == ["s1-u5"]


def test_subset_larger_than_the_set_is_an_error(data, tmp_path):
    result = run(UTILS / "subset_data_dir.sh", data, "7", tmp_path / "x")
    assert result.returncode == 1
    assert "has only 6 utterances, not 7" in result.stderr
    assert not (tmp_path / "x").exists()
