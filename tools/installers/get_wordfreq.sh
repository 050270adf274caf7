#!/usr/bin/env bash
# Common English words by frequency: the list of wordfreq (code Apache 2.0, data CC BY-SA 4.0), read without
# installing the package. Prints the folder: words.tsv with lines `word<tab>frequency`, the most frequent first.
# FREEZE_OMNI_WORDFREQ_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin wordfreq 1 FREEZE_OMNI_WORDFREQ_DIR words.tsv

"$python" -c 'import msgpack' 2>/dev/null || die "reading the list needs msgpack: run tools/install.sh first.
  Or set FREEZE_OMNI_WORDFREQ_DIR=DIR, a folder with words.tsv."
from_pypi wordfreq 3.1.1 wordfreq-3.1.1-py3-none-any.whl \
  4b1c6ecffc6198be3396d5cf871c4423ca71c907c231348d352dd54d62b97473
unpack_wheel "$fetched" "$new/tmp"
"$python" - "$new/tmp/wordfreq/data/small_en.msgpack.gz" >"$new/words.tsv" <<'END_OF_SCRIPT'
# A header, then the words of each hundredth of a decade of frequency, from 1 downwards.
import gzip, sys
import msgpack

with gzip.open(sys.argv[1]) as stream:
    _, *classes = msgpack.load(stream)
for number, words in enumerate(classes):
    for word in words:
        print(word, f"{10 ** (-number / 100):.3e}", sep="\t")
END_OF_SCRIPT
keep_licences "$new/tmp" wordfreq
note "the word list: CC BY-SA 4.0"
rm -rf "$new/tmp"
part_end
