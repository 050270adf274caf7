# shellcheck shell=bash
# Sourced by a script after it has set its options as variables (Kaldi's convention):
#     nj=4          # number of jobs
#     . utils/parse_options.sh
# then `--nj 8` sets nj, `--some-name x` sets some_name, `--config FILE` reads such variables from a
# file, and `--help` prints $help_message, or a text made from the option lines of the script.
# The first argument that is no option ends the options; it and the rest stay in $1, $2, ...

_po_fail() { echo "$0: $*; see $0 --help" >&2; exit 1; }

_po_help() {
  if [ -n "${help_message:-}" ]; then
    printf '%s\n' "$help_message"
    return
  fi
  awk -v name="$0" '
    FNR == 1 {print "Usage: " name " [options]"; next}
    /parse_options\.sh/ {exit}
    !seen && /^#/ {sub(/^# ?/, ""); print "  " $0; next}
    /^# / {seen = 1; heading = substr($0, 3); next}
    /^[a-z][a-zA-Z0-9_]*=/ {
      if (substr($0, index($0, "=") + 1) ~ /^\$\(/) next
      seen = 1
      at = match($0, /[ \t]+#[ \t]/)
      if (!at && /\$/) next
      note = at ? substr($0, at + RLENGTH) : ""
      line = at ? substr($0, 1, at - 1) : $0
      option = substr(line, 1, index(line, "=") - 1)
      value = substr(line, index(line, "=") + 1)
      gsub(/^"|"$/, "", value)
      if (heading != "") {print ""; print heading ":"; heading = ""}
      printf "  --%-24s %s%s\n", option, note, value == "" ? "" : " [" value "]"
      next
    }
    {seen = 1; heading = ""}
  ' "$0"
}

_po_set() {  # _po_set --option VALUE
  local _po_name=${1#--}
  _po_name=${_po_name//-/_}
  [[ $_po_name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && $_po_name != _po_* && -n ${!_po_name+set} ]] ||
    _po_fail "unknown option $1"
  case ${!_po_name} in
    true|false)
      [[ $2 = true || $2 = false ]] || _po_fail "$1 is true or false, not '$2'" ;;
  esac
  printf -v "$_po_name" %s "$2"
}

# A configuration file comes first, so that the command line wins wherever --config stands in it.
for ((_po_at = 1; _po_at < $#; _po_at++)); do
  if [ "${!_po_at}" = --config ]; then
    _po_next=$((_po_at + 1))
    [ -r "${!_po_next}" ] || _po_fail "--config ${!_po_next}: no such file"
    # shellcheck source=/dev/null
    . "${!_po_next}"
  fi
done

while [ $# -gt 0 ]; do
  case $1 in
    --help|-h) _po_help; exit 0 ;;
    --config) shift 2 ;;
    --*=*) _po_fail "write $1 as '${1%%=*} ${1#*=}'" ;;
    --)  shift; break ;;
    --*)
      [ $# -ge 2 ] || _po_fail "$1 needs a value"
      _po_set "$1" "$2"
      shift 2 ;;
    *) break ;;
  esac
done
unset -f _po_fail _po_help _po_set
unset _po_at _po_next
