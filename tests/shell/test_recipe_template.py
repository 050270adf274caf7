"""The driver of the recipes: --help, checks before work, finished work that is not done again, new recipes."""

import os
import re
import shutil
import sys

import pytest
import yaml

from tests.shell.bash import ROOT, make_data_dir, ok, run

pytestmark = pytest.mark.processes

TEMPLATE = ROOT / "egs" / "TEMPLATE" / "s2s1"
OVERRIDES = ("encoder", "adapter", "dialogue", "codec", "speech_decoder", "prefix", "pack", "decode")


def fake_python(folder, does="true"):
    """A `python` that runs the shell line `does`, but answers questions on the stage graph."""
    (folder / "bin").mkdir(exist_ok=True)
    script = folder / "bin/python"
    script.write_text(f'#!/bin/sh\ncase $* in *bin.stages*) exec {sys.executable} "$@" ;; esac\n{does}\n')
    script.chmod(0o755)


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "egs" / "foo" / "asr1"
    ok(TEMPLATE / "setup.sh", folder)
    return folder


def once(folder, *inputs, command="true"):
    """Call `once work INPUTS -- COMMAND` of the template in `folder`."""
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; mine=; work_done=false; "
        "mkdir -p exp/.stages; "
        f'once work "$@" -- bash -c "mkdir -p exp/work; {command}"; echo "work_done=$work_done"'
    )
    return run("bash", "-c", script, "once", *inputs, cwd=folder)


def test_work_is_skipped_until_an_input_changes(tmp_path):
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    command = "date +%N >> exp/work/ran"
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    assert "work_done=false" in once(tmp_path, "conf.yaml", command=command).stdout
    assert len((tmp_path / "exp/work/ran").read_text().splitlines()) == 1
    (tmp_path / "conf.yaml").write_text("a: 2\n")
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    kept = list((tmp_path / "exp").glob("work.*/ran"))
    assert len(kept) == 1, "the old folder must be kept"


def test_seconds_of_a_stage_are_those_of_its_whole_work(tmp_path):
    """Done whole, done in part in less time, done in part in more, not done, done whole in less time."""
    (tmp_path / "exp/.stages").mkdir(parents=True)
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; mine=; "
        'work_done=$1 work_skipped=$2; note_time 4 "$3"; cat exp/.stages/seconds.4'
    )
    times = {"true false 90": 90, "true true 5": 90, "true true 95": 95, "false true 1": 95, "true false 7": 7}
    for call, noted in times.items():
        found = run("bash", "-c", script, "note", *call.split(), cwd=tmp_path).stdout
        assert found == f"{noted}\n", call


def test_seconds_of_a_stage_that_ended_in_the_middle_count_with_the_rest(tmp_path):
    stages = tmp_path / "exp/.stages"
    stages.mkdir(parents=True)
    begin = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; mine=; stage_now=4 work_done=true; "
        "work_changed=$0 work_skipped=true stage_start=$(($(date +%s) - $1)); "
    )
    for seconds in (90, 10):
        run("bash", "-c", begin + "exit 3", "false", str(seconds), cwd=tmp_path)
    assert 100 <= int((stages / "unfinished.4").read_text()) <= 105
    run("bash", "-c", begin + "note_time 4 $1; stage_now=", "false", "20", cwd=tmp_path)
    assert 120 <= int((stages / "seconds.4").read_text()) <= 125 and not (stages / "unfinished.4").exists()
    for changed, seconds in (("false", 70), ("true", 9)):  # other inputs: it begins anew
        run("bash", "-c", begin + "exit 3", changed, str(seconds), cwd=tmp_path)
    assert 9 <= int((stages / "unfinished.4").read_text()) <= 12


def test_a_recipe_without_stages_of_its_own_ends_well(tmp_path):
    """As egs/ablation, which sources the common functions and has no folders of a run."""
    found = run("bash", "-c", f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_skipped_part_is_noticed(tmp_path):
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; mine=; mkdir -p exp/.stages exp/work; "
        'work_done=false work_skipped=false; once work "$0" -- true; echo "work_skipped=$work_skipped"'
    )
    assert "work_skipped=false" in run("bash", "-c", script, "word", cwd=tmp_path).stdout
    assert "work_skipped=true" in run("bash", "-c", script, "word", cwd=tmp_path).stdout


@pytest.mark.parametrize("makes", [[], ["--makes", "dump", "data"]])
def test_what_was_deleted_is_made_again(tmp_path, makes):
    command = "mkdir -p dump data; date +%N >> exp/work/ran"
    assert "work_done=true" in once(tmp_path, "word", *makes, command=command).stdout
    assert "work_done=false" in once(tmp_path, "word", *makes, command=command).stdout
    gone = makes[-1] if makes else "exp/work"
    shutil.rmtree(tmp_path / gone)
    again = once(tmp_path, "word", *makes, command=command).stdout
    assert "work_done=true" in again and f"{gone} no longer exists" in again
    assert not list((tmp_path / "exp").glob("work.*")), "what is left of it is gone on with"
    assert len((tmp_path / "exp/work/ran").read_text().splitlines()) == (2 if makes else 1)


def test_deleted_sets_and_tokens_are_made_again(tmp_path):
    """Each stage that writes outside of exp/ names what it makes."""
    (tmp_path / "local").mkdir()
    fake_python(tmp_path, "case $* in *make_dialogue*) mkdir -p dump/dialogue/d ;; esac")
    (tmp_path / "dialogue.yaml").write_text("seed: 1\n")
    sets = {"train_set": "a", "valid_set": "b", "test_sets": "c", "optional_train_sets": "", "optional_test_sets": ""}
    sets |= {"tts_train_set": "t", "tts_valid_set": "u", "tts_test_set": "", "qa_test_set": "", "scene_test_set": ""}
    sets |= {"dialogue_train_set": "d", "dialogue_valid_set": "", "spoken_test_set": "", "local_data_opts": ""}
    options = {"min_wav_duration_s": 1, "max_wav_duration_s": 9, "asr_pad_s": "0 0", "speed_perturb_factors": ""}
    options |= {
        "encoder": "",
        "unit_kind": "llm",
        "unit_min_count": 3,
        "nbpe": 9,
        "nj": 1,
        "llm": "llm",
        "judge": "",
        "conf": "conf",
    }
    options |= {"dialogue_conf": "dialogue.yaml", "init_model": "model", "inference_model": "best"}
    work = (
        "make_data() { mkdir -p data/{a,b,c,t,u}; }; threads=(env); "
        "for number in 1 2 3 4; do stage_$number; done; dump_once u dump/raw/u"
    )

    def works(*deleted):
        for name in deleted:
            shutil.rmtree(tmp_path / name)
        found = stage(tmp_path, work, **sets, **options)
        assert found.returncode == 0, found.stderr
        skipped = re.findall(r"(\S+): nothing changed, skipped", found.stdout)
        return {"data", *(f"raw_{name}" for name in "abctu"), "units", "stats", "dialogue", "codec_u"} - set(skipped)

    works()
    assert works("dump/raw/c", "dump/codec", "dump/dialogue/d") == {"raw_c", "codec_u", "dialogue"}
    # What comes out the same as before changes nothing after it: not the statistics.
    assert works("dump") == {"raw_a", "raw_b", "raw_c", "raw_t", "raw_u", "dialogue", "codec_u"}
    assert works("data") >= {"data", "units"}


def test_what_python_leaves_beside_a_script_and_the_time_of_a_small_file_change_nothing(tmp_path):
    (tmp_path / "local/__pycache__").mkdir(parents=True)
    (tmp_path / "local/data.sh").write_text("true\n")
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    assert "work_done=true" in once(tmp_path, "local", "conf.yaml").stdout
    (tmp_path / "local/__pycache__/data.pyc").write_bytes(b"compiled")
    os.utime(tmp_path / "conf.yaml", (1, 1))
    assert "work_done=false" in once(tmp_path, "local", "conf.yaml").stdout
    (tmp_path / "local/data.sh").write_text("false\n")
    assert "work_done=true" in once(tmp_path, "local", "conf.yaml").stdout


def test_a_large_file_counts_by_size_and_time(tmp_path):
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate(300_000_000)  # a hole: takes no room
    assert "work_done=true" in once(tmp_path, "large.pth").stdout
    assert "work_done=false" in once(tmp_path, "large.pth").stdout
    os.utime(tmp_path / "large.pth", (1, 1))
    assert "work_done=true" in once(tmp_path, "large.pth").stdout


def test_failed_work_is_named_and_continued_in_its_folder(tmp_path):
    failed = once(tmp_path, "word", command="touch exp/work/half; false")
    assert failed.returncode != 0
    assert "work failed" in failed.stderr and "rerun the same command" in failed.stderr
    again = once(tmp_path, "word", command="touch exp/work/half; false")
    assert again.returncode != 0
    assert (tmp_path / "exp/work/half").exists() and not list((tmp_path / "exp").glob("work.*"))


def test_a_new_recipe_runs_the_template(recipe):
    assert (recipe / "run.sh").exists() and (recipe / "local/data.sh").exists()
    text = ok(recipe / "s2s.sh", "--help", cwd=recipe)
    for option in ("stage", "stop_stage", "skip_stages", "ngpu", "nj", "expdir", "dumpdir", "train_set"):
        assert f"--{option}" in text


def test_setup_refuses_unknown_tasks_and_existing_recipes(recipe, tmp_path):
    assert "unknown task 'st1'" in run(TEMPLATE / "setup.sh", tmp_path / "foo" / "st1").stderr
    assert "exists already" in run(TEMPLATE / "setup.sh", recipe).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--conf", "conf/none"], "--conf conf/none: no such folder"),
        (["--llm", "/no/such/llm"], "--llm /no/such/llm: no such folder"),
        (["--stge", "1"], "stge"),
    ],
)
def test_wrong_options_are_told_before_work(recipe, options, message):
    result = run(recipe / "s2s.sh", "--conf", "conf/base", *options, cwd=recipe)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout


def stage(folder, script, timeout_s=60, **options):
    """Run lines of a stage in `folder`, with the template's functions and these options."""
    values = {"datadir": "data", "dumpdir": "dump", "expdir": "exp", "decode_cmd": "run.pl", "cuda_cmd": "run.pl"}
    values |= dict.fromkeys(("tag", "mine", *(f"{name}_args" for name in OVERRIDES)), "")
    values |= {"inference_model": "valid.loss.ave", "adapters": "ctc conv", "decode": "asr qa states tts codec duplex"}
    values |= {"decode_conf": "conf/decode.yaml", "further_qa_sets": "", "outside_sets": "", "judge": ""} | options
    given = "".join(f"{name}='{value}'; " for name, value in values.items())
    sources = f"for file in {TEMPLATE}/stages/*.sh; do . $file; done; work_done=false; "
    path = f"export PATH={folder}/bin:{ROOT}/utils:$PATH PYTHONPATH={ROOT}; mkdir -p exp/.stages; set -euo pipefail; "
    return run("bash", "-c", path + sources + given + script, cwd=folder, timeout_s=timeout_s)


def test_an_optional_set_is_used_where_it_is_and_left_out_with_a_line_where_not(tmp_path):
    make_data_dir(tmp_path / "data/real")
    sets = {"train_set": "train", "optional_train_sets": "more", "test_sets": "seen", "optional_test_sets": "real gone"}
    found = stage(tmp_path, "asr_test_sets; asr_train_dir", **sets)
    assert found.stdout.splitlines() == ["seen real", "dump/raw/train"]
    assert (
        "data/gone: missing, so the optional set gone is left out" in found.stderr and "data/real" not in found.stderr
    )


def test_training_sets_are_joined_once(tmp_path):
    for name in ("train", "more"):
        make_data_dir(tmp_path / "data" / name)
        folder = make_data_dir(tmp_path / "dump/raw" / name)
        for table in ("wav.scp", "text", "utt2spk"):
            lines = (folder / table).read_text().splitlines()
            (folder / table).write_text("".join(f"{name}-{line}\n" for line in lines))
    join = "join_train_sets; asr_train_dir"
    sets = {"train_set": "train", "optional_train_sets": "more"}
    first, again = (stage(tmp_path, join, **sets) for _ in range(2))
    assert first.stdout.splitlines()[-1] == "dump/raw/train_and_more", first.stderr
    assert len((tmp_path / "dump/raw/train_and_more/text").read_text().splitlines()) == 12
    assert "raw_train_and_more: nothing changed, skipped" in again.stdout
    corpora = [line.split() for line in (tmp_path / "dump/raw/train_and_more/utt2corpus").read_text().splitlines()]
    assert len(corpora) == 12 and all(uid.startswith(f"{name}-") for uid, name in corpora)


def test_stage_2_packs_sounds_as_told(tmp_path):
    packing = 'read_packing; echo "${packing[*]}"'
    assert stage(tmp_path, packing).stdout.strip() == ""
    assert stage(tmp_path, packing, shards="0").stdout.strip() == ""
    both = stage(tmp_path, packing, shards="500", audio_format="flac").stdout
    assert both.strip() == "--shards 500 --audio_format flac"


def trained(folder, name, **model):
    """A training folder, with its checkpoint and its configuration."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "valid.loss.ave.pth").touch()
    (folder / name / "config.yaml").write_text(yaml.safe_dump({"model": model}))


def parts_of(folder, stage_name, **options):
    script = f'take_parts {stage_name}; printf "%s\\n" "${{parts[@]}}"'
    found = stage(folder, script, **options)
    assert found.returncode == 0, found.stderr
    return [line.replace("/valid.loss.ave.pth", "") for line in found.stdout.split()]


def test_parts_come_from_the_last_stage_that_saved_them(tmp_path):
    trained(tmp_path / "exp", "1.2_adapter_ctc", ctc_weight=0.3)
    assert parts_of(tmp_path, "dialogue") == ["exp/1.2_adapter_ctc:encoder,ctc,adapter"]
    trained(tmp_path / "exp", "1.2_adapter_ctc", ctc_weight=0.0)  # the head of 1.1 stays as it is
    assert parts_of(tmp_path, "dialogue") == ["exp/1.1_encoder:ctc", "exp/1.2_adapter_ctc:encoder,adapter"]
    packed = parts_of(tmp_path, "pack")
    assert "exp/1.1_encoder:ctc" in packed and "exp/1.2_adapter_ctc:encoder,adapter,task_tokens" in packed


def test_what_was_learned_with_the_llm_goes_with_the_parts(tmp_path):
    exp, said = tmp_path / "exp", "exp/1.3_dialogue_ctc:prompt,state_head"
    trained(exp, "1.2_adapter_ctc", ctc_weight=0.3)
    trained(exp, "1.3_dialogue_ctc", llm_tuning={"lora": {"rank": 2}})
    assert parts_of(tmp_path, "prefix") == ["exp/1.3_dialogue_ctc:llm_tuning", "exp/2.2_speech_decoder:speech_decoder"]
    assert f"{said},llm_tuning" in parts_of(tmp_path, "pack")
    trained(exp, "1.3_dialogue_ctc", llm_tuning=None)
    assert parts_of(tmp_path, "prefix") == ["exp/2.2_speech_decoder:speech_decoder"]
    assert said in parts_of(tmp_path, "pack")


FOLDERS = 'for name in encoder adapter dialogue codec speech_decoder prefix; do folder_of "${name}"; done'
LORA = {"dialogue_args": "--model llm_tuning.lora.rank=8"}


@pytest.mark.parametrize(
    ("overrides", "own"),
    [
        ({}, ""),
        ({"encoder_args": "--max_minutes 1"}, "1.1_encoder 1.2_adapter_ctc 1.3_dialogue_ctc"),
        (LORA, "1.3_dialogue_ctc"),
        ({"codec_args": "--max_minutes 1"}, "2.1_codec 2.2_speech_decoder 2.3_prefix"),
        ({"speech_decoder_args": "--max_minutes 1"}, "2.2_speech_decoder 2.3_prefix"),
        ({"adapters": "conv"}, "1.2_adapter_conv 1.3_dialogue_conv"),  # the untagged run has none
    ],
)
def test_a_tag_trains_what_differs_and_what_builds_on_it(tmp_path, overrides, own):
    for name in ("1.1_encoder", "1.2_adapter_ctc", "1.3_dialogue_ctc", "2.1_codec", "2.2_speech_decoder", "2.3_prefix"):
        trained(tmp_path / "exp", name, ctc_weight=0.3)
    found = stage(tmp_path, FOLDERS, tag="new", mine="tags/new/", **overrides)
    assert found.returncode == 0, found.stderr
    folders = found.stdout.split()
    assert len(folders) == 6
    assert [name for name in folders if name.startswith("tags/")] == [f"tags/new/{name}" for name in own.split()]
    assert "tags/" not in stage(tmp_path, FOLDERS, **overrides).stdout


def test_a_tag_that_tunes_the_llm_has_its_own_prefix(tmp_path):
    for name in ("1.1_encoder", "1.2_adapter_ctc", "1.3_dialogue_ctc", "2.1_codec", "2.2_speech_decoder", "2.3_prefix"):
        trained(tmp_path / "exp", name)
    trained(tmp_path / "exp/tags/lora", "1.3_dialogue_ctc", llm_tuning={"lora": {"rank": 8}})
    options = {"tag": "lora", "mine": "tags/lora/"} | LORA
    assert stage(tmp_path, "folder_of prefix", **options).stdout.strip() == "tags/lora/2.3_prefix"
    taken = ["exp/2.2_speech_decoder:speech_decoder", "exp/tags/lora/1.3_dialogue_ctc:llm_tuning"]
    assert sorted(parts_of(tmp_path, "prefix", **options)) == taken


def test_overrides_reach_the_training_and_are_noticed(tmp_path):
    """Also quoted ones; a stage that a tag shares is not touched."""
    fake_python(tmp_path, f'echo "$@" >>{tmp_path}/ran; mkdir -p exp/1.1_encoder exp/tags/new/1.1_encoder')
    options = {"ngpu": 0, "num_nodes": 1, "seed": 1, "nthreads": 1, "conf": "conf"}
    script = 'threads=(env); train "$(folder_of encoder)" encoder 1.1_encoder data/text -- --train_dir data'

    def train(args, tag=""):
        more = {"tag": tag, "mine": f"tags/{tag}/" if tag else "", "encoder_args": args}
        found = stage(tmp_path, script, **options, **more)
        assert found.returncode == 0, found.stderr
        return found.stdout

    train("")
    trained(tmp_path / "exp", "1.1_encoder")
    assert "shared with the untagged run" in train("", tag="new")
    train("--optim_conf lr=1e-3", tag="new")
    assert "nothing changed" in train("") and "nothing changed" in train("--optim_conf lr=1e-3", tag="new")
    train("--optim_conf lr=1e-3 --model encoder.layers=4")
    ran = (tmp_path / "ran").read_text().splitlines()
    assert len(ran) == 3 and ran[1].endswith("--train_dir data --optim_conf lr=1e-3")
    assert "--config conf/1.1_encoder.yaml --output_dir exp/tags/new/1.1_encoder" in ran[1]
    assert "--output_dir exp/1.1_encoder" in ran[2] and ran[2].endswith("lr=1e-3 --model encoder.layers=4")


def test_a_training_that_fails_shows_the_end_of_its_log(tmp_path):
    fake_python(tmp_path, "echo no such file; exit 2")
    options = {"ngpu": 0, "num_nodes": 1, "seed": 1, "nthreads": 1, "conf": "conf"}
    found = stage(tmp_path, "threads=(env); train 1.1_encoder encoder 1.1_encoder -- --train_dir data", **options)
    assert found.returncode != 0 and "no such file" in found.stderr and "exp/1.1_encoder/run.log" in found.stdout


def test_a_tag_with_its_own_speech_decoder_shares_the_tokens_but_not_their_durations(tmp_path):
    for name in ("2.1_codec", "2.2_speech_decoder"):
        trained(tmp_path / "exp", name)
    for name in ("dev", "train"):
        (tmp_path / "dump/codec" / name).mkdir(parents=True)
        (tmp_path / "dump/codec" / name / "tokens").write_text("a 1\n")
    fake_python(tmp_path, 'case $* in *time_text*) echo "$@" >>ran ;; esac')
    options = {"tag": "new", "mine": "tags/new/", "speech_decoder_args": "--model speech_decoder.layers=2"}
    sets = {
        "tts_valid_set": "dev",
        "dialogue_train_set": "",
        "dialogue_valid_set": "",
        "nj": 1,
        "llm": "L",
        "conf": "c",
    }
    script = 'threads=(env); root=$(dump_of codec speech_decoder); time_texts "${root}" train; dump_of codec'
    found = stage(tmp_path, script, **options, **sets)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "dump/codec"
    assert (tmp_path / "dump/tags/new/codec/train/tokens").resolve() == tmp_path / "dump/codec/train/tokens"
    ran = (tmp_path / "ran").read_text()
    assert "--token_dir dump/tags/new/codec/train dump/tags/new/codec/dev --model speech_decoder.layers=2" in ran


def test_the_answer_is_given_once_and_shown_again_unless_it_is_called_for(tmp_path):
    (tmp_path / "exp/pack").mkdir(parents=True)
    fake_python(tmp_path, 'echo ran >>ran; echo "I say Paris."')
    options = {"dialogue_train_set": "train", "talk_input": "q.wav", "serve": "false", "nthreads": "1", "conf": "mini"}

    def talk(first_stage):
        found = stage(tmp_path, f"threads=(env); stage={first_stage}; stage_14", **options)
        assert "I say Paris." in found.stdout, found.stderr
        return len((tmp_path / "ran").read_text().splitlines())

    assert [talk(1), talk(1), talk(14)] == [1, 1, 2]


def test_curves_are_those_of_the_trainings_as_they_are_now(tmp_path):
    aside = ("1.1_encoder.20261125-101500", "1.2_adapter_ctc.20261124-235959")
    for name in ("1.1_encoder", "2.3_prefix", "stats", *aside):
        (tmp_path / "exp" / name).mkdir(parents=True)
    assert stage(tmp_path, "training_folders").stdout.split() == ["exp/1.1_encoder/", "exp/2.3_prefix/"]


@pytest.mark.parametrize("scenes", [0, 3])
def test_duplex_scenes_are_composed_once_and_played_to_the_default_model(tmp_path, scenes):
    fake_python(tmp_path, f'echo "$@" >>{tmp_path}/ran')
    make_data_dir(tmp_path / "dump/raw/tts_dev")
    sets = {"dialogue_train_set": "train", "qa_test_set": "test", "scene_test_set": "duplex_test"}
    sets |= {"spoken_test_set": "spoken", "test_sets": "seen", "optional_test_sets": "", "tts_valid_set": "tts_dev"}
    options = sets | {"adapters": "ctc conv", "duplex_scenes": scenes, "llm": "llm", "conf": "conf", "seed": 7}
    options |= {"inference_model": "valid.loss.ave", "system_prompt": "Hi", "nthreads": 1}
    for _ in range(2):
        found = stage(tmp_path, "threads=(env); stage_11", **options)
        assert found.returncode == 0, found.stderr
    ran = (tmp_path / "ran").read_text().splitlines()
    composed = [line for line in ran if "duplex-scenes" in line]
    played = [line for line in ran if "--duplex dump/duplex_scenes" in line]
    assert len(composed) == len(played) == (scenes > 0)
    if scenes:
        assert "--data dump/dialogue/duplex_test" in composed[0] and "--count 3 --seed 7" in composed[0]
        assert "--model exp/system_ctc" in played[0]


def test_sets_of_others_are_made_before_training_and_decoded_once_with_the_default_model(tmp_path):
    makes = "mkdir -p dump/outside/{q,people} dump/dialogue/unseen; touch dump/outside/sources.jsonl"
    makes += "; touch dump/outside/q/outside.json dump/{outside/q,dialogue/unseen}/questions.jsonl"
    fake_python(tmp_path, f'echo "$@" >>{tmp_path}/ran; case $* in *outside_sets*) {makes}; echo warning: q ;; esac')
    (tmp_path / "bin/python").write_text((tmp_path / "bin/python").read_text().replace("#!/bin/sh", "#!/bin/bash"))
    (tmp_path / "dialogue.yaml").write_text("seed: 1\n")
    make_data_dir(tmp_path / "dump/raw/tts_dev")
    (tmp_path / "their/people").mkdir(parents=True)
    (tmp_path / "their/q.tsv").write_text("")
    sets = {"train_set": "a", "optional_train_sets": "", "valid_set": "b", "tts_train_set": "t", "tts_test_set": ""}
    sets |= {"dialogue_train_set": "train", "dialogue_valid_set": "dev", "qa_test_set": "test"}
    sets |= {"spoken_test_set": "spoken", "test_sets": "seen", "optional_test_sets": "", "tts_valid_set": "tts_dev"}
    sets |= {"scene_test_set": "duplex_test", "further_qa_sets": "unseen", "dialogue_conf": "dialogue.yaml"}
    options = sets | {"duplex_scenes": 0, "llm": "llm", "conf": "conf", "seed": 7, "nj": 1, "judge": "whisper"}
    options |= {"system_prompt": "Hi", "nthreads": 1, "outside_sets": "q=their/q.tsv their/people/"}
    for number in (4, 11, 11):
        found = stage(tmp_path, f"threads=(env); stage_{number}", **options)
        assert found.returncode == 0, found.stderr
        assert "warning: q" in found.stdout
    ran = (tmp_path / "ran").read_text().splitlines()
    made = [number for number, line in enumerate(ran) if "bin.outside_sets" in line]
    decoded = [line for line in ran if "--questions" in line]
    assert len(made) == 1 and len(decoded) == 2
    assert made[0] < min(number for number, line in enumerate(ran) if "bin.decode" in line)
    assert "q=their/q.tsv their/people/ --output dump/outside" in ran[made[0]]
    given = "--training data/a data/b dump/dialogue/train dump/dialogue/dev --speaking data/t data/tts_dev"
    assert given in ran[made[0]]
    assert all("--model exp/system_ctc --root exp/decode_ctc" in line for line in decoded)
    assert "--asr --questions dump/dialogue/unseen --streamed --judge whisper" in decoded[0]
    assert "--asr dump/outside/people --questions dump/outside/q --streamed dump/outside/q --judge" in decoded[1]
    assert [line for line in ran if "bin.decode" in line and "--judge" in line and "system_conv" in line] == []
    (tmp_path / "their/q.tsv").write_text("more")
    stage(tmp_path, "threads=(env); stage_11", **options)
    assert (tmp_path / "ran").read_text().count("bin.outside_sets") == 2, "a changed set is made again"


def test_a_set_of_others_that_is_not_there_is_told_at_once(tmp_path):
    found = stage(tmp_path, "check_outside_sets", outside_sets="their/people")
    assert found.returncode != 0 and "--outside_sets their/people: no such file or folder" in found.stderr


@pytest.mark.parametrize(("line", "given"), [("seed: 1", False), ("rejection: {most_wer: 0.2}", True)])
def test_stage_4_depends_on_the_judge_where_it_rejects(tmp_path, line, given):
    fake_python(tmp_path, 'echo "$@" >>ran')
    (tmp_path / "dialogue.yaml").write_text(f"{line}\n")
    sets = ("dialogue_train_set", "dialogue_valid_set", "qa_test_set", "spoken_test_set", "scene_test_set")
    options = dict.fromkeys(sets, "") | {"dialogue_conf": "dialogue.yaml", "llm": "llm", "nj": "1"}
    for judge in ("one", "other"):
        found = stage(tmp_path, "threads=(env); stage_4", judge=judge, **options)
        assert found.returncode == 0, found.stderr
    commands = (tmp_path / "ran").read_text().splitlines()
    assert ["--judge one" in command for command in commands] == ([True, False] if given else [False])


def test_stage_4_depends_on_who_answers_and_not_on_how_it_is_asked(tmp_path):
    fake_python(tmp_path, 'echo "$@" >>ran')
    (tmp_path / "dialogue.yaml").write_text("seed: 1\n")
    sets = ("dialogue_train_set", "dialogue_valid_set", "qa_test_set", "spoken_test_set", "scene_test_set")
    options = dict.fromkeys(sets, "") | {"dialogue_conf": "dialogue.yaml", "llm": "llm", "nj": "1"}
    server = {"answers_url": "http://a:1/v1", "answers_model": "m"}

    def runs(**given):
        found = stage(tmp_path, "threads=(env); stage_4", **options, **given)
        assert found.returncode == 0, found.stderr
        lines = (tmp_path / "ran").read_text().splitlines()
        (tmp_path / "ran").write_text("")
        return " ".join(lines)

    assert "--answers" not in runs()
    assert "--answers_url http://a:1/v1 --answers_model m" in runs(**server)
    assert not runs(**server, answers_opts="--answers_requests 9 --answers_retries 1 --answers_timeout_s 3")
    assert "--answers_url http://b:1/v1" in runs(**server | {"answers_url": "http://b:1/v1"})
    assert "--answers_model n" in runs(**server | {"answers_url": "http://b:1/v1", "answers_model": "n"})
    (tmp_path / "a.jsonl").write_text("{}\n")
    assert "--answers a.jsonl --answers_field id=x output=y z" in runs(
        answers="a.jsonl", answers_opts='--answers_field id=x "output=y z"'
    )
    (tmp_path / "a.jsonl").write_text("[]\n")
    assert "--answers a.jsonl" in runs(answers="a.jsonl", answers_opts='--answers_field id=x "output=y z"')


def test_spoken_answers_are_joined_to_the_output_voice_once(tmp_path):
    raw = make_data_dir(tmp_path / "dump/raw/tts_train")
    dialogue = tmp_path / "dump/dialogue/train"
    dialogue.mkdir(parents=True)
    sounds = {"q1": "s0-u0", "q3": "s0-u0", "q4": "s1-u1"}
    (dialogue / "answer_wav.scp").write_text("".join(f"{q} {raw}/wav/{sound}.wav\n" for q, sound in sounds.items()))
    (dialogue / "answer").write_text("q1 It is Paris.\nq2 It is not spoken.\nq3 It is Paris.\nq4 Oslo.\n")
    (dialogue / "text").write_text("q1 What is it?\nq2 What?\nq3 Which is it?\nq4 And here?\n")
    options = {"tts_train_set": "tts_train", "dialogue_train_set": "train", "dialogue_valid_set": ""}
    first, again = (stage(tmp_path, "join_speaking_sets; speaking_train_dir", **options) for _ in range(2))
    assert first.stdout.splitlines()[-1] == "dump/raw/tts_train_and_answers", first.stderr
    texts = (tmp_path / "dump/raw/tts_train_and_answers/text").read_text()
    assert len(texts.splitlines()) == 8 and "q1 It is Paris.\n" in texts and "q4 Oslo.\n" in texts
    assert "q3" not in texts  # the sound of q1 once more
    assert "q3" in (dialogue / "answers/answer").read_text()  # but 2.3 hears another question before it
    assert again.stdout.count("nothing changed, skipped") == 2
