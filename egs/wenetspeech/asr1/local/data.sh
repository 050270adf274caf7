#!/usr/bin/env bash
# Stage 1: WenetSpeech as Kaldi directories with segments. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name wenetspeech --variable WENETSPEECH --sets train_l,dev,test_net,test_meeting "$@"
