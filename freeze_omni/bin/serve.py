"""Serve a model: OpenAI's Realtime protocol at /v1/realtime, a page at /, /metrics, and the probes /livez, /readyz."""

from __future__ import annotations

import argparse
import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError, build, read_yaml

if TYPE_CHECKING:
    from freeze_omni.server.config import ServerConfig
    from freeze_omni.server.router import Router

KEY = "FREEZE_OMNI_API_KEY"


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--model", required=True, type=Path, help="packed model: a folder or a hub id")
    options.add_argument(
        "--llm_gguf", type=Path, metavar="FILE", help="GGUF file by which llama.cpp computes the LLM, on a CPU"
    )
    options.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all")
    options.add_argument("--port", type=int, default=8765)
    options.add_argument("--devices", nargs="+", default=["cpu"], help="one worker each: cpu, cuda:0, ...")
    options.add_argument("--engine", choices=("local", "ray"), default="local", help="workers: processes, or replicas")
    options.add_argument(
        "--ray_address", default="auto", help="with ray: of the cluster, HOST:PORT; auto: this machine's"
    )
    options.add_argument("--ray_app", default="freeze-omni", help="with ray: name of the application in Ray Serve")
    options.add_argument(
        "--replicas", type=int, default=0, help="with ray; 0: one on each GPU, or for cpu on each node"
    )
    options.add_argument("--threads", type=int, default=0, help="torch's threads of a worker; 0: a fair share")
    options.add_argument("--max_sessions", type=int, default=0, help="of a worker; 0 measures how many it can serve")
    options.add_argument("--config", type=Path, help="YAML with `serving` and `limits`; default: their defaults")
    options.add_argument("--api_key", default="", help=f"ask clients for this key; better set as ${KEY}")
    options.add_argument("--no_api_key", action="store_true", help="let other machines in without a key")
    options.add_argument("--allowed_hosts", nargs="+", default=[], help="further names of this server; *: any")
    options.add_argument("--tls_cert", type=Path, help="certificate, PEM")
    options.add_argument("--tls_key", type=Path, help="its key, PEM")
    options.add_argument("--tls_self_made", type=Path, metavar="FOLDER", help="make or use a certificate there")
    options.add_argument("--close_s", type=float, default=5.0, help="at SIGTERM, seconds for open sessions to end")
    options.add_argument("--record", type=Path, metavar="FOLDER", help="write a log of every session, with its audio")
    options.add_argument("--log_level", default="info", choices=("debug", "info", "warning", "error"))
    return options


@user_errors(ValueError, OSError, name="serve")
def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and one line if the model cannot be served."""
    chosen = parser().parse_args(arguments)
    logging.basicConfig(level=chosen.log_level.upper(), format="%(asctime)s %(message)s")
    try:
        from freeze_omni.server.app import make
    except ImportError as error:
        raise ImportError(f"{error}; install the extra: pip install 'freeze_omni[serve]'") from None
    from freeze_omni.engine.config import ServingConfig
    from freeze_omni.pack import find
    from freeze_omni.server.config import Limits, ServerConfig
    from freeze_omni.server.door import is_loopback, refused_listening
    from freeze_omni.server.router import Unready
    from freeze_omni.server.tls import self_made
    from freeze_omni.session.log import check_folder

    if not (find(chosen.model) / "config.yaml").exists():
        raise ConfigError(f"{chosen.model}: no config.yaml in it; give a folder that stage 13 packed")
    if (chosen.tls_cert is None) != (chosen.tls_key is None):
        raise ConfigError("--tls_cert and --tls_key belong together")
    given = read_yaml(chosen.config) if chosen.config else {}
    kinds = {"serving": ServingConfig, "limits": Limits}
    for name in given.keys() - kinds.keys():
        raise ConfigError(f"{chosen.config}: '{name}' is neither `serving` nor `limits`")
    as_given = ("model", "host", "port", "threads", "tls_cert", "tls_key", "close_s", "record", "llm_gguf")
    api_key = chosen.api_key or os.environ.get(KEY, "")
    if problem := refused_listening(chosen.host, api_key, chosen.no_api_key):
        raise ConfigError(problem)
    if api_key and not is_loopback(chosen.host) and not (chosen.tls_cert or chosen.tls_self_made):
        logging.warning("without TLS the API key and all that is said can be read on the way: see --tls_self_made")
    if chosen.record is not None:
        check_folder(chosen.record)
    config = ServerConfig(
        devices=tuple(chosen.devices),
        api_key=api_key,
        allowed_hosts=tuple(chosen.allowed_hosts),
        **{name: getattr(chosen, name) for name in as_given},
        **{name: build(kinds[name], value, str(chosen.config)) for name, value in given.items()},
    )
    if chosen.max_sessions:
        config = replace(config, serving=replace(config.serving, max_sessions=chosen.max_sessions))
    if chosen.tls_self_made is not None:
        cert, key = self_made(chosen.tls_self_made, chosen.host)
        config = replace(config, tls_cert=cert, tls_key=key)
    scheme = "https" if config.tls_cert else "http"
    logging.info("%s is loaded; then the page is at %s://%s:%d", config.model, scheme, config.host, config.port)
    try:
        with _router(chosen, config) as router:
            make(config, router, log_level=chosen.log_level).run()
    except Unready as error:
        raise ConfigError(str(error)) from None


def _router(chosen: argparse.Namespace, config: ServerConfig) -> AbstractContextManager[Router | None]:
    """Over replicas of a cluster; None: the local pool of processes."""
    if chosen.engine == "local":
        return nullcontext()
    try:
        from freeze_omni.server.replicas import deployed
    except ImportError as error:
        raise ImportError(f"{error}; install the extra: pip install 'freeze_omni[serve,ray]'") from None
    return deployed(config, chosen.ray_address, chosen.ray_app, chosen.replicas)


if __name__ == "__main__":
    main()
