#!/usr/bin/env bash
# Copies a data directory, with prefixes and suffixes for its ids if wanted:
#   utils/copy_data_dir.sh [--utt-prefix P] [--utt-suffix S] [--spk-prefix P] [--spk-suffix S] <from> <to>
set -euo pipefail

utt_prefix=  # Put before each utterance's id.
utt_suffix=  # Put after each utterance's id.
spk_prefix=  # Put before each speaker's name.
spk_suffix=  # Put after each speaker's name.

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=utils/parse_options.sh
. "$here/parse_options.sh"
die() { echo "copy_data_dir.sh: $*" >&2; exit 1; }
[ $# -eq 2 ] || die "wanted two directories: <from> <to>"
from=$1 to=$2
[ -f "$from/utt2spk" ] || die "$from/utt2spk is missing; utils/fix_data_dir.sh $from makes it"
[ "$(readlink -f "$from")" != "$(readlink -f "$to")" ] || die "$from cannot be copied onto itself"
for added in "$utt_prefix" "$utt_suffix" "$spk_prefix" "$spk_suffix"; do
  case $added in
    */*|*\\*|*[[:space:]]*) die "'$added' cannot stand in an id, which names files" ;;
  esac
done
mkdir -p "$to"

# rename FILE COLUMNS: FILE with the ids in these columns changed (u: utterance, s: speaker, -: as it is;
# U: this column and all that follow are utterances)
rename() {
  awk -v columns="$2" -v up="$utt_prefix" -v us="$utt_suffix" -v sp="$spk_prefix" -v ss="$spk_suffix" '
    {
      rest = $0; out = ""
      for (i = 1; i <= NF; i++) {
        kind = i <= length(columns) ? substr(columns, i, 1) : kind == "U" ? "U" : "-"
        if (kind == "-" && i > length(columns)) break
        match(rest, /^[ \t]*[^ \t]+/)
        rest = substr(rest, RLENGTH + 1)
        word = kind == "u" || kind == "U" ? up $i us : kind == "s" ? sp $i ss : $i
        out = out (i > 1 ? " " : "") word
      }
      print out rest
    }' "$1" | LC_ALL=C sort
}

for file in "$from"/*; do
  name=$(basename "$file")
  [ -f "$file" ] || continue
  case $name in
    utt2spk) columns=us ;;
    spk2utt) columns=sU ;;
    spk2gender|cmvn.scp) columns=s ;;
    segments|text|feats.scp|utt2*|answer|answer_wav.scp|states) columns=u ;;
    wav.scp) columns=u; if [ -f "$from/segments" ]; then columns=-; fi ;;
    *) cp "$file" "$to/$name"; continue ;;
  esac
  rename "$file" "$columns" >"$to/$name"
done
"$here/utt2spk_to_spk2utt.pl" "$to/utt2spk" | LC_ALL=C sort >"$to/spk2utt"
echo "copy_data_dir.sh: copied $(wc -l <"$to/utt2spk") utterances from $from to $to"
