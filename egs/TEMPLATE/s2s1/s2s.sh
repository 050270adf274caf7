#!/usr/bin/env bash
# The recipe of the whole system, from data to a spoken answer, in numbered stages:
#   1 data  2 format  3 units and statistics  4 dialogues  5 encoder (1.1)  6 adapter (1.2)  7 dialogue (1.3)
#   8 codec (2.1)  9 speech decoder (2.2)  10 prefix (2.3)  11 decode  12 score  13 pack  14 talk
# A recipe (egs/<corpus>/<task>1/run.sh) calls this with its set names and its configuration folder.
# A stage is skipped if its inputs, options and configuration have not changed since it succeeded.
set -euo pipefail
((BASH_VERSINFO[0] >= 5)) || { echo "$0: error: bash ${BASH_VERSION}: the recipes run on Linux, with bash 5 or newer" >&2; exit 1; }

# General
stage=1              # First stage to run.
stop_stage=14        # Last stage to run.
skip_stages=         # Stages to skip, as "8 9".
ngpu=0               # GPUs of each machine for training; 0 trains on the CPU.
num_nodes=1          # Machines for training, by slurm.pl in cmd.sh.
nj=2                 # Parallel jobs of data preparation: processes on this machine, or an array of jobs by slurm.pl.
inference_nj=1       # Parallel jobs of what runs networks: features, answers, codec tokens, decoding, judge; each has --nthreads.
gpu_inference=false  # Each of these jobs on a GPU, through cuda_cmd.
device=              # Where they compute: cpu, cuda, cuda:1, mps; by default cuda with --gpu_inference, otherwise cpu.
nthreads=2           # Threads of a training or decoding process on the CPU.
seed=777             # Seed of training and sampling.
datadir=data         # Kaldi data directories.
dumpdir=dump         # Prepared audio, dialogues, codec tokens.
expdir=exp           # Models, statistics, logs, decoding results, RESULTS.md.
conf=conf/mini       # Folder with one YAML for each training stage, and decode.yaml.
tag=                 # Name of a second configuration, in expdir/tags/NAME: it trains what its overrides change, and shares the rest.
results=             # JSON file for the scores of this run; results.json in expdir, or in the tag's folder, by default.
result_notes=        # Markdown that RESULTS.md shows below its scores: what a reader should know about the data.
record=false         # For maintainers: also write the scores to RESULTS.md and results/ of the recipe.
dry_run=false        # Only build each model, print its parameters, and stop. With a tag: the models that it trains.

# Data
local_data_opts=     # Options for local/data.sh.
train_set=           # Speech input: training set (role asr), or several to be combined, as "a b".
optional_train_sets=  # Speech input: more training sets, used if stage 1 could make them.
valid_set=           # Speech input: development set.
test_sets=           # Speech input: test sets, as "a b".
optional_test_sets=  # Speech input: more test sets, decoded if stage 1 could make them.
speed_perturb_factors=  # Speed factors for the training set, as "0.9 1.0 1.1".
min_wav_duration_s=0.3  # Shorter utterances of the training set are left out.
max_wav_duration_s=20   # Longer utterances of the training set are left out.
shards=              # Utterances of a tar shard (WebDataset), as 1000, for corpora of a million; empty: no shards (docs/data.md).
audio_format=wav     # Prepared audio: wav or flac, or flac.ark (ESPnet's archives).
asr_pad_s="0.1 0.3"  # Seconds of faint noise before and after speech input, as synthetic speech is cut tightly; "0 0" for recordings.
tts_train_set=       # Speech output: training set (role tts).
tts_valid_set=       # Speech output: development set.
tts_test_set=        # Speech output: test set.
dialogue_conf=       # Dialogue: YAML of the sets that stage 4 makes from questions and recordings.
tts=                 # Dialogue: voice of the answers in place of the YAML's, as espeak:cmn, or "program:COMMAND" with {output} in it.
answers=             # Dialogue: file of the answers (a question's id or text, and its answer) in place of asking --llm here.
answers_url=         # Dialogue: OpenAI-compatible server of --llm that is asked instead, as http://127.0.0.1:8000/v1.
answers_model=       # Dialogue: its name of the LLM; as in --llm by default.
answers_opts=        # Dialogue: more options of answers, as "--answers_requests 64" (docs/stages.md).
dialogue_train_set=  # Dialogue: training set, a name of --dialogue_conf.
dialogue_valid_set=  # Dialogue: development set.
qa_test_set=         # Dialogue: test set of spoken questions.
spoken_test_set=     # Dialogue: test set with spoken answers, for the speech decoder.
further_qa_sets=     # Dialogue: more test sets of spoken questions, as by voices of no training set.
scene_test_set=      # Dialogue: test set of duplex scenes.
outside_sets=        # Test sets that others made, as "DIR NAME=PATH": published questions, recorded people (docs/evaluation.md).

# The encoder, the LLM and the units
encoder=             # A pretrained speech encoder to start from: a transformers or faster-whisper folder, or a hub id; empty: none.
transcriber=         # The Whisper of --encoder again: for the adapter words, its decoder says the words in place of a word search.
transcriber_language=en  # Of --transcriber, if it knows many.
transcribed=600      # Training utterances that it hears for stage 6 (1.2), spread over the set; 0: all.
llm=                 # The frozen LLM: a folder or a hub id of any transformers causal LM.
llm_revision=        # Commit, tag or branch of a hub id.
llm_dtype=           # Type of its weights in all stages: float32, bfloat16, float16; each YAML's own, or float32, by default.
llm_gguf=            # GGUF file of it: by llama.cpp the packed model's LLM is several times as fast on a CPU (stages 11 to 14).
unit_kind=llm        # CTC units: llm (the LLM's own tokens), bpe (sentencepiece), char, or word (letters, from which words are found).
unit_min_count=3     # An LLM token with fewer occurrences is split into smaller ones (unit_kind=llm).
nbpe=500             # Number of units (unit_kind=bpe).
lexicon=             # Folder with words.tsv and pairs.tsv: the words that can be heard, next to those of the training texts (unit_kind=word).
system_prompt="You are a helpful voice assistant. Answer in one short sentence."  # The system turn.

# The codec
codec=               # A codec of another library instead of stage 2.1, as my_codec:MyCodec (docs/add_a_part.md).
codec_conf=          # YAML of its configuration.

# Overrides: options added to a command, as "--optim_conf lr=1e-3 --model encoder.layers=4"
frontend_args=       # Of the training of stage 3 (1.0), where conf has a 1.0_frontend.yaml and --encoder is given.
encoder_args=        # Of the training of stage 5 (1.1), and of the features and statistics of stage 3.
adapter_args=        # Of the training of stage 6 (1.2).
dialogue_args=       # Of the training of stage 7 (1.3).
codec_args=          # Of the training of stage 8 (2.1).
speech_decoder_args=  # Of the training of stage 9 (2.2).
prefix_args=         # Of the training of stage 10 (2.3).
pack_args=           # Of packing the model (stages 11 and 13).
decode_args=         # Of decoding (stage 11).

# Training and evaluation
adapters="ctc conv"  # Adapters to train and to compare (also words, pool with unit_kind=word); the first is the default of the packed model.
inference_model=valid.loss.ave  # The averaged checkpoint that later stages take.
init_model=          # Packed (e.g. imported) model: stages 7 and 10 start from it; 3, 5, 6 and 9 are left out.
decode="asr qa states codec tts latency duplex"  # What stage 11 decodes.
decode_conf=         # YAML of decoding and scoring; decode.yaml in --conf by default.
duplex_scenes=0      # Scripted two-voice scenes of each kind to compose, play and measure; 0: none.
normaliser=          # How texts are compared in a recipe of one task (english, chinese, ...), if not as decode.yaml says.
judge=               # faster-whisper, a folder or a hub id, that transcribes speech: for scoring, for rejection in stage 4.
talk_input=          # Stage 14: a question to answer (wav); a test question by default.
serve=false          # Stage 14: start the server instead of answering one file.

template=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
cmdline="$0 $*"
. ./path.sh
# shellcheck source=/dev/null
. "${MAIN_ROOT}/utils/parse_options.sh"
. ./cmd.sh
. ./db.sh
for file in "${template}"/stages/*.sh; do
    # shellcheck source=/dev/null
    . "${file}"
done

names=([1]=data [2]=format [3]=units [4]=dialogue [5]=encoder [6]=adapter [7]=dialogue [8]=codec
    [9]=speech_decoder [10]=prefix [11]=decode [12]=score [13]=pack [14]=talk)

decode_conf=${decode_conf:-${conf}/decode.yaml}
mine=${tag:+tags/${tag}/} # Where in expdir the folders are that a tag does not share.
results=${results:-${expdir}/${mine}results.json}

# Prefix of a command that computes: limits the threads of torch.
threads=(env "OMP_NUM_THREADS=${nthreads}" "MKL_NUM_THREADS=${nthreads}")

main() {
    check_options
    check_outside_sets
    mkdir -p "${expdir}/.stages" "${expdir}/${mine}.stages"
    if "${dry_run}"; then
        dry_run_models
        return
    fi
    log "${cmdline}"
    check_models
    local n
    for n in "${!names[@]}"; do
        if ((n < stage || n > stop_stage)) || [[ " ${skip_stages} " == *" ${n} "* ]]; then
            continue
        fi
        stage_now=${n} stage_start=$(date +%s)
        work_done=false work_skipped=false work_changed=false aside_s=0
        banner "Stage ${n}: ${names[n]}"
        "stage_${n}"
        note_time "${n}" "$(($(date +%s) - stage_start - aside_s))"
        stage_now=
    done
    log "Finished in $(elapsed)"
}

main
