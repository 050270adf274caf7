#!/usr/bin/env bash
# Bulk voices: flite (slt, rms, awb, kal16). Prints the folder of the program: that of the flite on
# PATH, else of one unpacked from Debian's packages (no root needed). FREEZE_OMNI_FLITE_DIR names one.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"

if [ -z "${FREEZE_OMNI_FLITE_DIR:-}" ] && command -v flite >/dev/null; then
  dirname "$(command -v flite)"
  exit 0
fi
part_begin flite 1 FREEZE_OMNI_FLITE_DIR flite
for program in apt-get dpkg-deb; do
  command -v "$program" >/dev/null || die "flite is not on PATH and there is no $program to fetch it with.
  Install flite with your system's packages (brew install flite, conda install -c conda-forge flite),
  or do without: the recipes continue with the other voices."
done

# A program of the distribution: the version is the distribution's, and apt verifies its signature.
mkdir "$new/debs"
chmod 755 "$new/debs"
get() { (cd "$new/debs" && apt-get download -qq "$@" >&2); }
get flite libflite1 || vanished "Debian package flite"
get libasound2t64 2>/dev/null || get libasound2 2>/dev/null || true  # flite links to it
for deb in "$new/debs"/*.deb; do dpkg-deb -x "$deb" "$new/root"; done
rm -r "$new/debs"
cat >"$new/flite" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
libraries=$(printf '%s:' "$here"/root/usr/lib/*/)
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:-} exec "$here/root/usr/bin/flite" "$@"
END
chmod +x "$new/flite"
"$new/flite" -lv >/dev/null 2>&1 || die "the unpacked flite does not start; install it with your system's packages"
note "flite: a BSD-like licence, see $part/root/usr/share/doc/flite/copyright"
part_end
