"""Each piece of work of a recipe is done again if an option or a file that it reads has changed, and only then.

Nothing is computed: `works.sh` prints the words of each piece of work, and their fingerprints are compared.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from freeze_omni.bin.stages import inputs_of
from tests.shell.bash import ROOT

pytestmark = pytest.mark.processes

TEMPLATE = ROOT / "egs/TEMPLATE/s2s1"
SPEECH = {"train_set": "a", "optional_train_sets": "more", "valid_set": "dev", "test_sets": "test"}
VOICE = {"tts_train_set": "tts", "tts_valid_set": "ttsdev", "tts_test_set": "ttstest"}
BASE = SPEECH | VOICE | {"dialogue_conf": "dialogue.yaml", "dialogue_train_set": "dtrain", "dialogue_valid_set": "ddev"}
BASE |= {"qa_test_set": "qa", "spoken_test_set": "spoken", "scene_test_set": "scenes", "duplex_scenes": "2"}
BASE |= {"conf": "conf", "llm": "llm", "judge": "judge", "adapters": "ctc", "result_notes": "notes.md"}
BASE |= {"local_data_opts": "--text 'texts/some words.txt'"}
OF_ONE_TASK = SPEECH | VOICE | {"conf": "conf", "llm": "llm", "judge": "judge", "adapters": "ctc"}

LISTENING = {"1.1_encoder", "1.2_adapter_ctc", "1.3_dialogue_ctc"}
SPEAKING = {"2.1_codec", "2.2_speech_decoder", "2.3_prefix"}
TRAININGS = LISTENING | SPEAKING
PACKED = ("1.1_encoder", "1.2_adapter_ctc", "1.3_dialogue_ctc", "2.1_codec", "2.3_prefix")
PARTS = ("1.1_encoder", "1.2_adapter_ctc", "2.1_codec", "2.2_speech_decoder")
DUMPS = {"codec_tts_and_answers", "codec_ttsdev", "codec_dtrain", "codec_ddev"}
USE_LLM = {"1.2_adapter_ctc", "1.3_dialogue_ctc", "2.2_speech_decoder", "2.3_prefix"}
VOICES = {"2.1_codec", "2.2_speech_decoder"}


def data_dir(folder: Path, **tables: str) -> None:
    """Tables and a sound of one utterance."""
    folder.mkdir(parents=True)
    (folder / "x y.wav").write_text(f"sound of {folder}")
    tables = {"wav.scp": f"u {folder}/x y.wav", "text": "u Words.", "utt2spk": "u s", **tables}
    for name, line in tables.items():
        (folder / name.replace("__", ".")).write_text(f"{line}\n")


def write(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"content of {path}\n")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A folder in which every stage has run."""
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("recipe with a blank"))
    for name in ("a", "more", "dev", "test", "tts", "ttsdev", "ttstest", "asr_q"):
        data_dir(Path("data", name))
    for name in ("a", "more", "a_and_more", "dev", "test", "tts", "ttsdev", "ttstest", "tts_and_answers"):
        data_dir(Path("dump/raw", name))
    for name in ("dtrain", "ddev", "qa", "spoken", "scenes"):
        more = {"states": "u 0", "scene": "{}", "answer": "u Yes.", "history": "u []", "questions.jsonl": "{}"}
        data_dir(Path("dump/dialogue", name), **more, **{"answer_wav.scp": "u /no/such.wav"})
    for name in ("dtrain", "ddev"):
        data_dir(Path("dump/dialogue", name, "answers"), answer="u Yes.")
    for name in ("tts_and_answers", "ttsdev", "dtrain", "ddev"):
        write(f"dump/codec/{name}/tokens", f"dump/codec/{name}/voices", f"dump/codec/{name}/durations")
    for name in TRAININGS:
        write(f"exp/{name}/valid.loss.ave.pth")
    write("local/data.sh", "corpus/a.flac", "llm/tokenizer.json", "judge/model.bin", "notes.md")
    write("texts/some words.txt", "data/qa_q/questions.jsonl", "data/token_list/units.json", "data/sources.jsonl")
    write("dump/duplex_scenes/scenes.jsonl", "exp/stats/train/feats_stats.npz", "exp/stats/train/batch_keys")
    write("exp/system_ctc/model.safetensors", "exp/decode_ctc/decode.log", "exp/decode_ctc/qa/records.jsonl")
    write("exp/results.json", "exp/RESULTS.md", "exp/pack/model.safetensors", "exp/talk/answer.txt")
    for path in (TEMPLATE / "conf/tiny").iterdir():
        write(f"conf/{path.name}")
    for name in ("other", "notes.yaml", "texts/others.txt"):
        write(name) if "." in name else shutil.copytree("conf", name)
    Path("local/data.sh").write_text("exec prepare_corpus.sh --variable MINE\n")
    Path("db.sh").write_text("MINE=corpus\nOTHER=/elsewhere\n")
    Path("dialogue.yaml").write_text("sets: {dtrain: {qa: qa_q, speech: asr_q}}\n")
    yield Path.cwd()
    os.chdir(here)


def words_of(options: dict[str, str]) -> dict[str, tuple[list[str], Namespace]]:
    """Name of each piece of work -> its words, and how `inputs_of` takes them."""
    given = [f"{name}={value}" for name, value in options.items()]
    script = f". {ROOT}/tests/shell/works.sh"
    command = ["bash", "-c", script, "works", str(TEMPLATE), *given]
    env = {**os.environ, "PYTHON": sys.executable}
    found = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
    assert found.returncode == 0, found.stderr
    parts, works = found.stdout.split("\0")[:-1], {}
    while parts:
        name, inputs, makes, command_words = parts[0], *map(int, parts[1:4])
        end = 4 + makes + inputs + command_words
        works[name] = parts[4 + makes : end], Namespace(files=inputs, made=parts[4 : 4 + makes], seen=None)
        parts = parts[end:]
    return works


def prints(works) -> dict[str, list[str]]:
    return {name: list(inputs_of(words, how)) for name, (words, how) in works.items()}


def changed(before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


@pytest.fixture(scope="module")
def base(recipe):
    """The works of the whole recipe and of one without dialogues, and what is known of them."""
    found = [words_of(options) for options in (BASE, OF_ONE_TASK)]
    return found, [prints(works) for works in found]


# Option -> another value, and the works that use it themselves. What is made of their results follows by content.
FEATS = {f"feats_{name}" for name in ("a_and_more", "dev", "dtrain", "ddev")}  # of a pretrained encoder
USES = {
    "seed": ("1", TRAININGS | {"duplex_scenes", "decode_ctc", "score"}),
    "conf": ("other", {"stats", "durations", "system_ctc", "decode_ctc", "score"} | TRAININGS),
    "result_notes": ("dialogue.yaml", {"score"}),
    "record": ("true", {"score"}),
    "local_data_opts": ("--text texts/others.txt", {"data", "score"}),
    "train_set": ("dev", {"raw_dev_and_more", "units", "stats", "1.1_encoder", "1.2_adapter_ctc"}),
    "optional_train_sets": ("dev", {"raw_a_and_dev", "units", "stats", "1.1_encoder", "1.2_adapter_ctc"}),
    "valid_set": ("test", {"stats", "1.1_encoder", "1.2_adapter_ctc"}),
    "test_sets": ("dev", {"decode_ctc"}),
    "optional_test_sets": ("dev", {"decode_ctc"}),
    "speed_perturb_factors": ("0.9 1.0", {"raw_a", "raw_more"}),
    "min_wav_duration_s": ("0.5", {"raw_a", "raw_more", "raw_tts"}),
    "max_wav_duration_s": ("15", {"raw_a", "raw_more", "raw_tts"}),
    "audio_format": ("flac.ark", {f"raw_{name}" for name in ("a", "more", "dev", "test", "tts", "ttsdev", "ttstest")}),
    "shards": ("100", {f"raw_{name}" for name in ("a", "more", "dev", "test", "tts", "ttsdev", "ttstest")}),
    "asr_pad_s": ("0 0", {"raw_a", "raw_more", "raw_dev", "raw_test"}),
    "tts_train_set": ("ttstest", {"raw_ttstest_and_answers", "codec_ttstest_and_answers", "durations", *VOICES}),
    "tts_valid_set": ("ttstest", {"codec_ttstest", "2.1_codec", "durations", "2.2_speech_decoder", "system_ctc"}),
    "dialogue_conf": ("notes.yaml", {"dialogue"}),
    "tts": ("espeak:cmn", {"dialogue"}),
    "answers": ("notes.md", {"dialogue"}),
    "answers_url": ("http://host:1/v1", {"dialogue"}),
    "answers_opts": ("--answers_missing skip", {"dialogue"}),
    "dialogue_train_set": ("ddev", {"1.3_dialogue_ctc", "raw_tts_and_answers", "durations", "2.3_prefix"}),
    "dialogue_valid_set": ("dtrain", {"1.3_dialogue_ctc", "durations", "2.3_prefix"}),
    "qa_test_set": ("spoken", {"decode_ctc", "answer"}),
    "spoken_test_set": ("qa", {"decode_ctc"}),
    "scene_test_set": ("qa", {"duplex_scenes", "decode_ctc"}),
    "llm": ("judge", {"units", "dialogue", "durations", "system_ctc", "decode_ctc", "score", "pack"} | USE_LLM),
    "llm_gguf": ("notes.md", {"system_ctc", "pack"}),
    "llm_dtype": ("bfloat16", {"dialogue", "system_ctc", "pack"} | USE_LLM),
    "unit_kind": ("char", {"units"}),
    "unit_min_count": ("9", {"units"}),
    "nbpe": ("9", {"units"}),
    "lexicon": ("judge", {"units"}),
    "system_prompt": ("Hi", {"1.2_adapter_ctc", "1.3_dialogue_ctc", "2.3_prefix", "system_ctc"}),
    "codec": ("my_codec:MyCodec", {"2.1_codec"}),
    "encoder_args": ("--max_epoch 1", {"stats", "1.1_encoder", "score"}),
    "adapter_args": ("--max_epoch 1", {"1.2_adapter_ctc", "score"}),
    "dialogue_args": ("--max_epoch 1", {"1.3_dialogue_ctc", "score"}),
    "codec_args": ("--max_epoch 1", {"2.1_codec", "score"}),
    "speech_decoder_args": ("--max_epoch 1", {"durations", "2.2_speech_decoder", "score"}),
    "prefix_args": ("--max_epoch 1", {"2.3_prefix", "score"}),
    "pack_args": ("--texts.a b", {"system_ctc", "pack", "score"}),
    "decode_args": ("--only qa", {"decode_ctc", "score"}),
    "inference_model": ("train.loss.ave", {"1.2_adapter_ctc", "1.3_dialogue_ctc", "2.3_prefix", "system_ctc"} | DUMPS),
    "init_model": ("exp/pack", {"1.2_adapter_ctc", "1.3_dialogue_init", "2.3_prefix", "system_ctc"} | DUMPS),
    "encoder": ("judge", {"1.0_frontend", "stats", *LISTENING, *FEATS}),
    "outside_sets": ("notes.md", {"outside_sets", "decode_outside"}),
    "further_qa_sets": ("qa", {"decode_further"}),
    "decode": ("qa", {"decode_ctc"}),
    "decode_conf": ("notes.yaml", {"decode_ctc", "score"}),
    "duplex_scenes": ("3", {"duplex_scenes"}),
    "judge": ("llm", {"decode_ctc", "score"}),
    "talk_input": ("dump/raw/dev/x y.wav", {"answer"}),
}
SAID = {f"said_{name}" for name in ("a_and_more_transcribed", "dev", "dtrain", "ddev")}  # by a transcriber
# Option -> why no work is done again.
FREE = {
    "stage": "which stages run",
    "llm_revision": "a part of --llm by then: tests/shell/test_check_options.py",
    "stop_stage": "which stages run",
    "skip_stages": "which stages run",
    "ngpu": "where a training runs",
    "num_nodes": "where a training runs",
    "nj": "how many jobs share the work",
    "inference_nj": "how many jobs share the work",
    "gpu_inference": "where a network runs",
    "device": "where a network runs",
    "nthreads": "how many threads share the work",
    "datadir": "another place, in which nothing is done yet",
    "dumpdir": "another place, in which nothing is done yet",
    "expdir": "another place, in which nothing is done yet",
    "results": "another place, in which nothing is done yet",
    "tag": "what differs has folders of its own: tests/shell/test_recipe_template.py",
    "dry_run": "nothing is written",
    "tts_test_set": "the scores of a recipe with dialogues do not use it; see test_options_of_one_task",
    "codec_conf": "read only with --codec",
    "answers_model": "read only with --answers_url: tests/shell/test_recipe_template.py",
    "normaliser": "the scores of a recipe with dialogues do not use it; see test_options_of_one_task",
    "adapters": "each adapter has folders of its own",
    "serve": "nothing is written",
    "transcriber": "of a pretrained encoder and the adapter words alone: test_what_a_transcriber_says_is_heard_once",
    "transcriber_language": "read only with --transcriber: test_what_a_transcriber_says_is_heard_once",
    "transcribed": "read only with --transcriber: test_what_a_transcriber_says_is_heard_once",
    "frontend_args": "of a pretrained encoder alone: test_a_pretrained_encoder_is_adapted_before_it_is_heard",
}


def options() -> list[str]:
    """Names of the options of s2s.sh."""
    lines = (TEMPLATE / "s2s.sh").read_text().split("\ntemplate=")[0].splitlines()
    return [line.partition("=")[0] for line in lines if re.match(r"[a-z_]+=", line)]


def test_each_option_is_used_or_free():
    assert sorted(options()) == sorted({**USES, **FREE})


@pytest.mark.parametrize("option", USES)
def test_an_option_redoes_the_works_that_use_it(base, option):
    value, expected = USES[option]
    after = prints(words_of(BASE | {option: value}))
    redone = changed(base[1][0], after)
    assert expected <= redone, f"not done again: {expected - redone}"
    assert redone <= expected, f"done again for nothing: {redone - expected}"


@pytest.mark.parametrize("option", ["ngpu", "nj", "nthreads", "num_nodes", "inference_nj", "device"])
def test_where_work_runs_redoes_nothing(base, option):
    assert not changed(base[1][0], prints(words_of(BASE | {option: "7"})))


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("normaliser", "plain", {"decode_encoder_test", "decode_adapter_ctc_test", "decode_voice_ttstest"}),
        ("tts_test_set", "ttsdev", {"decode_voice_ttsdev"}),
        (
            "seed",
            "1",
            (TRAININGS & set(PARTS)) | {"decode_encoder_test", "decode_adapter_ctc_test", "decode_voice_ttstest"},
        ),
        ("judge", "llm", {"decode_encoder_test", "decode_adapter_ctc_test", "decode_voice_ttstest"}),
    ],
)
def test_options_of_one_task(base, option, value, expected):
    assert changed(base[1][1], prints(words_of(OF_ONE_TASK | {option: value}))) == expected


def sets(root: str, *names: str, tables: str = "wav.scp text utt2spk") -> list[str]:
    return [f"{root}/{name}/{table}" for name in names for table in [*tables.split(), "x y.wav"]]


DIALOGUE = "wav.scp text utt2spk states scene answer history questions.jsonl answer_wav.scp"
HEARD = sets("dump/raw", "a_and_more", "dev")
SPOKEN = sets("dump/raw", "tts_and_answers", "ttsdev")
ANSWERS = sets("dump/dialogue", "dtrain/answers", "ddev/answers", tables="wav.scp text utt2spk answer")
UNITS, LLM = "data/token_list/units.json", "llm/tokenizer.json"
READS = {
    "data": ["local/data.sh", "corpus/a.flac", "texts/some words.txt"],
    **{f"raw_{name}": sets("data", name) for name in ("a", "more", "dev", "test", "tts", "ttsdev", "ttstest")},
    "raw_a_and_more": sets("dump/raw", "a", "more"),
    "units": ["dump/raw/a_and_more/text", LLM],
    "stats": [*HEARD, UNITS, "conf/1.1_encoder.yaml"],
    "dialogue": ["dialogue.yaml", LLM, "data/qa_q/questions.jsonl", *sets("data", "asr_q")],
    "1.1_encoder": [*HEARD, UNITS, "conf/1.1_encoder.yaml", "exp/stats/train/feats_stats.npz"],
    "1.2_adapter_ctc": [*HEARD, UNITS, LLM, "conf/1.2_adapter_ctc.yaml", "exp/1.1_encoder/valid.loss.ave.pth"],
    "1.3_dialogue_ctc": [
        *sets("dump/dialogue", "dtrain", "ddev", tables=DIALOGUE), UNITS, LLM, "conf/1.3_dialogue.yaml",
        "exp/1.2_adapter_ctc/valid.loss.ave.pth",
    ],
    "answers_dtrain": [f"dump/dialogue/dtrain/{name}" for name in ("answer_wav.scp", "answer", "text", "history")],
    "raw_tts_and_answers": [*sets("dump/raw", "tts"), *ANSWERS[:5]],
    "2.1_codec": [*SPOKEN, "conf/2.1_codec.yaml"],
    "codec_dtrain": [*ANSWERS[:5], "exp/2.1_codec/valid.loss.ave.pth"],
    "codec_ttsdev": [*sets("dump/raw", "ttsdev"), "exp/2.1_codec/valid.loss.ave.pth"],
    "durations": [*SPOKEN, *ANSWERS, LLM, "conf/2.2_speech_decoder.yaml", "dump/codec/ddev/tokens"],
    "2.2_speech_decoder": [
        *SPOKEN, LLM, "dump/codec/ttsdev/tokens", "dump/codec/ttsdev/voices", "dump/codec/ttsdev/durations",
    ],
    "2.3_prefix": [*ANSWERS, LLM, "dump/codec/ddev/voices", "exp/2.2_speech_decoder/valid.loss.ave.pth"],
    "duplex_scenes": sets("dump/dialogue", "scenes", tables=DIALOGUE),
    "system_ctc": [
        LLM, UNITS, "conf/pack.yaml", "dump/raw/ttsdev/x y.wav", *(f"exp/{name}/valid.loss.ave.pth" for name in PACKED),
    ],
    "decode_ctc": [
        *sets("dump/raw", "test"), *sets("dump/dialogue", "qa", "spoken", "scenes", tables=DIALOGUE), LLM,
        "conf/decode.yaml", "exp/system_ctc/model.safetensors", "dump/duplex_scenes/scenes.jsonl",
    ],
    "score": [
        "exp/decode_ctc/decode.log", "exp/decode_ctc/qa/records.jsonl", "judge/model.bin", "conf/decode.yaml",
        "notes.md", "data/sources.jsonl",
    ],
    "pack": ["exp/results.json", "exp/system_ctc/model.safetensors", LLM],
    "answer": ["exp/pack/model.safetensors", "dump/dialogue/qa/x y.wav"],
}  # fmt: skip


@pytest.mark.parametrize("work", READS)
def test_a_file_redoes_the_works_that_read_it(base, work):
    """Other content of the same size, with the old time, redoes the work; the same content with a new time does not."""
    words, how = base[0][0][work]
    before = list(inputs_of(words, how))
    for path in READS[work]:
        content, stat = Path(path).read_text(), Path(path).stat()
        Path(path).write_text(content[:-2] + "!\n")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert list(inputs_of(words, how)) != before, f"{work} does not notice {path}"
        Path(path).write_text(content)
        assert list(inputs_of(words, how)) == before, f"{work} is done again for the time of {path}"


def test_each_work_is_perturbed(base):
    alike = {"answers_ddev", "codec_tts_and_answers", "codec_ddev"}
    assert set(base[0][0]) == set(READS) | alike


def test_logs_and_what_is_made_redo_nothing(base):
    works = base[0][0]
    for path in ("dump/raw/a/log/format.log", "dump/raw/dev/.backup/text", "exp/decode_ctc/qa/judge/records.jsonl"):
        write(path)
    for made in ("dump/dialogue/dtrain/answers/spoken/text", "exp/stats/collect_stats.log"):
        write(made)
    assert not changed(base[1][0], prints(works))


def test_a_pretrained_encoder_is_adapted_before_it_is_heard(recipe):
    """Features, statistics and 1.1 take stage 1.0's checkpoint, and are made again for another."""
    write("exp/1.0_frontend/valid.loss.ave.pth")
    Path("exp/1.0_frontend/config.yaml").write_text("model: {frontend: {left_s: 4.0}}\n")
    shutil.rmtree("asked", ignore_errors=True)  # answers of before that
    options = BASE | {"encoder": "judge"}
    works = words_of(options)
    before = prints(works)
    assert changed(before, prints(words_of(options | {"frontend_args": "--max_epoch 1"}))) == {"1.0_frontend", "score"}
    for name in ("feats_a_and_more", "feats_dtrain", "1.1_encoder"):
        words = works[name][0]
        assert words[words.index("--init_parts") + 1] == "exp/1.0_frontend/valid.loss.ave.pth:frontend", name
    Path("exp/1.0_frontend/valid.loss.ave.pth").write_text("another\n")
    assert changed(before, prints(works)) == {*FEATS, "stats", "1.1_encoder"}
    shutil.rmtree("exp/1.0_frontend")
    shutil.rmtree("asked")


@pytest.mark.parametrize("encoder", ["", "judge"])
def test_answers_in_stage_6_bring_the_dialogues_into_it(recipe, encoder):
    works = words_of(BASE | {"adapter_args": "--model targets=both", "encoder": encoder})
    here = "dump/feats/" if encoder else "dump/"
    train, joined = works["1.2_adapter_ctc"][0], works["questions_a_and_more"][0]
    assert train[train.index("--train_dir") + 1] == f"{here}raw/a_and_more_and_questions"
    assert train[train.index("--valid_dir") + 1] == f"{here}raw/dev_and_questions"
    assert joined[-2:] == [f"{here}raw/a_and_more", f"{here}dialogue/dtrain"]
    assert "questions_dev" in works and ("feats_dtrain" in works) == bool(encoder)


def test_what_a_transcriber_says_is_heard_once(recipe):
    """Its words of the training utterances, of the development set and of the dialogues, for the adapter words."""
    given = BASE | {"encoder": "judge", "transcriber": "judge", "adapters": "words", "transcribed": "3"}
    works = words_of(given)
    subset = "dump/raw/a_and_more_transcribed"
    assert {name for name in works if name.startswith("said_")} == {
        "said_a_and_more_transcribed", "said_dev", "said_dtrain", "said_ddev",
    }  # fmt: skip
    assert works["transcribed_a_and_more"][1].made == [subset]
    adapter, dialogue, system = (works[name][0] for name in ("1.2_adapter_words", "1.3_dialogue_words", "system_words"))
    assert adapter[adapter.index("--train_dir") + 1] == "dump/feats/raw/a_and_more_transcribed"
    assert "adapter.words.transcribed=true" in adapter and "adapter.words.transcribed=true" not in dialogue
    assert "judge" in system
    every = words_of(given | {"transcribed": "0"})
    assert "transcribed_a_and_more" not in every and "said_a_and_more" in every
    assert "as_published=true" in works["1.0_frontend"][0]
    changed_by = {"transcriber": ("other", {*SAID, "1.2_adapter_words", "system_words"})}
    changed_by["transcriber_language"] = ("de", {*SAID, "system_words"})
    write("other/model.bin")
    for option, (value, expected) in changed_by.items():
        assert changed(prints(works), prints(words_of(given | {option: value}))) == expected, option
    other = words_of(given | {"adapters": "ctc"})
    assert not [name for name in other if name.startswith("said_")]
    write("dump/feats/raw/dev/feats.scp", "dump/feats/dialogue/dtrain/feats.scp")
    before = prints(works)
    write("dump/feats/raw/dev/said")  # as stage 6 writes it: 1.1, which has read this folder, is not trained again
    assert changed(before, prints(works)) == {"1.2_adapter_words"}
    write("dump/feats/dialogue/dtrain/said")
    assert changed(before, prints(works)) == {"1.2_adapter_words", "1.3_dialogue_words"}
