# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by run.sh: what follows from its options, where they leave it open.
suffix=$([ "${scale}" = mini ] || echo "_${scale}")
mini_exp=${mini_exp:-${mini}/exp${suffix}}
mini_dump=${mini_dump:-${mini}/dump${suffix}}
mini_data=${mini_data:-${mini}/data${suffix}}
results=RESULTS.md decode=conf/decode.yaml more=() asr_train=asr_train asr_tests=(asr_test_seen asr_test_unseen)
if [ "${scale}" = tiny ]; then results=exp_tiny/RESULTS.md decode=${mini}/conf/tiny/decode.yaml; fi
# Recorded speech is a part of the recipe where it could be had.
if [ -d "${mini_dump}/raw/asr_train_and_asr_real_train" ]; then asr_train=asr_train_and_asr_real_train; fi
if [ -d "${mini_dump}/raw/asr_test_real" ]; then asr_tests+=(asr_test_real); fi
if "${dry_run}"; then
    more+=(--dry_run)
elif [ -z "${judge}" ]; then
    judge=$("${MAIN_ROOT}/tools/installers/get_whisper_$([ "${scale}" = tiny ] && echo tiny_en || echo base).sh" | tail -n 1)
fi
if [ -n "${judge}" ] && [ "${judge}" != none ]; then more+=(--judge "${judge}"); fi
