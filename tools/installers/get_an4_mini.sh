#!/usr/bin/env bash
# Seven utterances of CMU's AN4, which the installed ESPnet brings along. Prints the folder that holds an4/.
# FREEZE_OMNI_AN4_DIR names your own.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"

part_begin an4_mini 1 FREEZE_OMNI_AN4_DIR an4/etc/an4_train.transcription
packed=$("$python" - <<'END'
import importlib.metadata

files = importlib.metadata.files("espnet") or []
print(next((str(f.locate()) for f in files if f.match("mini_an4/*/downloads.tar.gz")), ""))
END
) || packed=
[ -f "$packed" ] || die "the installed ESPnet has no mini_an4; set $part_override to a folder with an4/ in it"
mkdir "$new/tmp"
tar -xzf "$packed" -C "$new/tmp"
mv "$new/tmp/downloads/an4" "$new/an4"
rm -rf "$new/tmp"
note "AN4: CMU, free for research and commercial use"
part_end
