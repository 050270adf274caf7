#!/usr/bin/env bash
# Puts data directories together: utils/combine_data.sh [options] <to> <from 1> <from 2> ...
# A file that only some of them have is left out (with a notice).
set -euo pipefail

extra_files=    # More files to combine, as "utt2uniq spk2gender".
skip_fix=false  # Leave out utils/fix_data_dir.sh at the end.

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=utils/parse_options.sh
. "$here/parse_options.sh"
die() { echo "combine_data.sh: $*" >&2; exit 1; }
[ $# -ge 2 ] || die "wanted: <to> <from 1> <from 2> ..."
to=$1
shift
for from in "$@"; do
  [ -s "$from/utt2spk" ] || die "$from/utt2spk is missing or empty"
  [ "$(readlink -f "$from")" != "$(readlink -f "$to")" ] || die "$to cannot be one of the sources"
done
mkdir -p "$to"

read -ra extra <<<"$extra_files"
for name in wav.scp segments text utt2spk feats.scp utt2dur utt2lang utt2num_samples answer ${extra[@]+"${extra[@]}"}; do
  found=()
  for from in "$@"; do
    if [ -f "$from/$name" ]; then found+=("$from/$name"); fi
  done
  [ ${#found[@]} -gt 0 ] || continue
  if [ ${#found[@]} -lt $# ]; then
    echo "combine_data.sh: $name is not in all of them and is left out" >&2
    rm -f "$to/$name"
    [ "$name" != segments ] || die "some have segments and others not: cut the recordings first (stage 2 does)"
    continue
  fi
  # The same recording may be in several; a line that is the same in two is one.
  LC_ALL=C sort -u "${found[@]}" >"$to/$name"
  twice=$(cut -d' ' -f1 "$to/$name" | uniq -d | head -n 1)
  [ -z "$twice" ] || die "$name: id $twice stands for different things; rename with copy_data_dir.sh --utt-prefix"
done
"$here/utt2spk_to_spk2utt.pl" "$to/utt2spk" | LC_ALL=C sort >"$to/spk2utt"
if ! "$skip_fix"; then "$here/fix_data_dir.sh" "$to"; fi
