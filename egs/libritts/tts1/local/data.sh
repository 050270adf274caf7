#!/usr/bin/env bash
# Stage 1: LibriTTS, many English voices as Kaldi directories. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name libritts --variable LIBRITTS --sets train_clean_100,dev_clean,test_clean "$@"
