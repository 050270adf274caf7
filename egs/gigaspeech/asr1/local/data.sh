#!/usr/bin/env bash
# Stage 1: GigaSpeech as Kaldi directories with segments; lower case, without marks of punctuation. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name gigaspeech --variable GIGASPEECH --sets train_xl,dev,test --fixed_opts "--case,lower" "$@"
