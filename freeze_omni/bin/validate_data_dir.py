"""Check a Kaldi data directory."""

import argparse
import sys

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.datadir import ROLES, validate

SHOWN = 20


@user_errors(OSError, name="validate_data_dir.sh")
def main() -> None:
    parser = argparse.ArgumentParser(prog="validate_data_dir.sh", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--no-feats", action="store_true", help="feats.scp may be missing")
    parser.add_argument("--no-wav", action="store_true", help="wav.scp may be missing")
    parser.add_argument("--no-text", action="store_true", help="text may be missing")
    parser.add_argument("--non-print", action="store_true", help="text may hold unprintable characters")
    role = "what the data is for: asr and tts have no features; qa is a questions.jsonl; dialogue is a set of stage 4"
    parser.add_argument("--role", choices=ROLES, help=role)
    args = parser.parse_args()
    feats = not args.no_feats and args.role is None
    problems = validate(args.folder, args.role, feats, not args.no_wav, not args.no_text, args.non_print)
    for problem in problems[:SHOWN]:
        print(problem, file=sys.stderr)
    if len(problems) > SHOWN:
        print(f"... and {len(problems) - SHOWN} more problems", file=sys.stderr)
    if problems:
        fix = "" if args.role in ("qa", "dialogue") else f"; utils/fix_data_dir.sh {args.folder} fixes most"
        sys.exit(f"validate_data_dir.sh: {args.folder} has {len(problems)} problems{fix}")
    print(f"validate_data_dir.sh: {args.folder} is fine")


if __name__ == "__main__":
    main()
