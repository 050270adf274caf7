"""Talk to a served model from a terminal: by microphone, with sound files at the speed of speech, or by typing."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from freeze_omni.data.audio import AudioError


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line if there is no server, no sound or no microphone."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--url", default="ws://127.0.0.1:8765", help="of the server; wss:// with TLS")
    options.add_argument("--input", nargs="+", type=Path, default=[], help="sound files, one turn each")
    options.add_argument("--text", action="store_true", help="type turns, one a line")
    options.add_argument("--output", type=Path, help="wav with both voices, yours left, the answers right")
    options.add_argument("--system", help="system prompt; default: the model's own")
    options.add_argument("--pause_s", type=float, default=3.0, help="silence after each sound file")
    options.add_argument("--wait_s", type=float, default=30.0, help="for an answer, before the next turn")
    options.add_argument("--states", action="store_true", help="show the state decisions")
    options.add_argument("--api_key", default=os.environ.get("FREEZE_OMNI_API_KEY", ""), help="of the server")
    options.add_argument("--ca", type=Path, help="certificate to trust, such as a self-made one")
    chosen = options.parse_args(arguments)
    try:
        from freeze_omni.client import terminal
        from freeze_omni.client.realtime import ServerError
    except ImportError as error:
        sys.exit(f"chat: error: {error}; install the extra: pip install 'freeze_omni[serve]'")
    try:
        asyncio.run(terminal.run(chosen))
    except (ServerError, terminal.NoDevice, AudioError, OSError) as error:
        sys.exit(f"chat: error: {error}")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
