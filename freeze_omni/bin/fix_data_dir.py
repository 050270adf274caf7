"""Sort a Kaldi data directory, drop unusable utterances (missing or cut audio, no transcript, not in every file, an id
that cannot name a file) and rebuild spk2utt. The old files go to .backup; `skipped` lists what was dropped, and why."""

import argparse
import sys

from freeze_omni.bin.errors import user_errors
from freeze_omni.data.datadir_fix import fix

SHOWN = 20


@user_errors(OSError, ValueError, name="fix_data_dir.sh")
def main() -> None:
    parser = argparse.ArgumentParser(prog="fix_data_dir.sh", description=__doc__)
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    kept, before, reasons = fix(folder)
    for reason in reasons[:SHOWN]:
        print(f"dropped {reason}", file=sys.stderr)
    if len(reasons) > SHOWN:
        print(f"... and {len(reasons) - SHOWN} more; all are in {folder}/skipped", file=sys.stderr)
    print(f"fix_data_dir.sh: kept {kept} of {before} utterances of {folder}")


if __name__ == "__main__":
    main()
