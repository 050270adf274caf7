#!/usr/bin/env bash
# Stage 1: LJSpeech, one English voice as Kaldi directories. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name ljspeech --variable LJSPEECH --sets tr_no_dev,dev,eval1 "$@"
