"""The unit, the manifests and the Dockerfile of tools/deploy: what they name exists, and their times fit together."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from freeze_omni.bin import serve
from freeze_omni.config import build
from freeze_omni.engine.config import ServingConfig
from freeze_omni.server.app import Server
from freeze_omni.server.config import Limits, ServerConfig
from freeze_omni.server.door import Hosts, refused_listening
from freeze_omni.server.router import START_S, Router
from tests.shell.bash import ROOT, run

DEPLOY = ROOT / "tools/deploy"
DOCKERFILE = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
UNIT = re.sub(r"\\\n\s*", "", (DEPLOY / "freeze-omni.service").read_text())
MANIFESTS = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
POD = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
RAY = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all((DEPLOY / "ray.yaml").read_text())}
FRONT_POD, NODE_POD = (RAY["Deployment", f"freeze-omni-{name}"]["spec"]["template"] for name in ("front", "node"))
(FRONT,), (NODE,) = (pod["spec"]["containers"] for pod in (FRONT_POD, NODE_POD))
AT_LEAST_S = 15  # to close the sessions that are left, and the workers


def entry() -> list[str]:
    """The options of the image's entry point."""
    words = json.loads(re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[1])
    assert words[:2] == ["freeze-omni", "serve"]
    return words[2:]


def extras() -> list[str]:
    """What the first lines of the Dockerfile say of its extras: for one machine the first alone."""
    chosen = re.search(r"--build-arg EXTRAS=([\w,]+)", DOCKERFILE)[1].split(",")
    assert f"ARG EXTRAS={chosen[0]}\n" in DOCKERFILE
    return chosen


def unit(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)
    return value


UNIT_WORDS = shlex.split(unit("ExecStart"))
COMMANDS = {"unit": UNIT_WORDS[2:], "image": entry(), "pod": entry() + CONTAINER["args"], "front": FRONT["args"]}


@pytest.mark.parametrize("place", COMMANDS)
def test_options_exist_and_other_machines_need_a_key(place):
    chosen = serve.parser().parse_args(COMMANDS[place])
    assert not chosen.api_key and not chosen.no_api_key, "the key is no option, which everyone on the machine can read"
    assert "--no_api_key" in refused_listening(chosen.host, "", chosen.no_api_key)
    ServerConfig(chosen.model, close_s=chosen.close_s)


def test_the_key_comes_from_a_secret():
    for container in (CONTAINER, FRONT):
        (variable,) = container["env"]
        assert variable["name"] == serve.KEY and variable["valueFrom"].keys() == {"secretKeyRef"}
    kinds = {*MANIFESTS, *(kind for kind, _ in RAY)}
    assert "Secret" not in kinds, "one that is in a file is none"
    assert unit("EnvironmentFile").startswith("/etc/") and serve.KEY not in re.sub("^#.*", "", UNIT, flags=re.MULTILINE)


def test_sessions_have_their_time_to_end():
    for pod, container, place in ((POD, CONTAINER, "pod"), (FRONT_POD, FRONT, "front")):
        sleep_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
        close_s = serve.parser().parse_args(COMMANDS[place]).close_s
        assert pod["spec"]["terminationGracePeriodSeconds"] >= sleep_s + close_s + AT_LEAST_S and close_s >= 60
    assert float(unit("TimeoutStopSec")) >= serve.parser().parse_args(COMMANDS["unit"]).close_s + AT_LEAST_S
    assert unit("KillMode") == "mixed", "or SIGTERM would go to the workers too"


def test_probes_ask_what_the_server_answers():
    routes = {route.path for route in Server(ServerConfig(Path("toy")), Router([])).application.routes}
    probes = {name: probe for name, probe in CONTAINER.items() if name.endswith("Probe")}
    assert probes == {name: probe for name, probe in FRONT.items() if name.endswith("Probe")}
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert set(paths.values()) <= routes
    assert probes["startupProbe"]["periodSeconds"] * probes["startupProbe"]["failureThreshold"] >= START_S
    (port,) = CONTAINER["ports"]
    assert all(probe["httpGet"]["port"] == port["name"] for probe in probes.values())
    assert port["containerPort"] == serve.parser().parse_args(COMMANDS["pod"]).port
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE


def test_the_manifests_name_each_other():
    labels = POD["metadata"]["labels"]
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    service = MANIFESTS["Service"]
    assert service["spec"]["selector"] == labels and service["spec"]["ports"][0]["targetPort"] == "http"
    chosen = serve.parser().parse_args(COMMANDS["pod"])
    names = Hosts(ServerConfig(Path("toy"), allowed_hosts=tuple(chosen.allowed_hosts)))
    assert names.allow(service["metadata"]["name"])
    volumes = {one["name"]: one for one in POD["spec"]["volumes"]}
    mounts = {one["mountPath"]: volumes[one["name"]] for one in CONTAINER["volumeMounts"]}
    assert str(chosen.model) in mounts
    config = MANIFESTS["ConfigMap"]
    assert mounts[str(chosen.config.parent)]["configMap"]["name"] == config["metadata"]["name"]
    given = yaml.safe_load(config["data"][chosen.config.name])
    kinds = {"limits": Limits, "serving": ServingConfig}
    assert all(build(kinds[name], value, name) for name, value in given.items())


def test_the_nodes_of_a_cluster_find_the_front_and_nobody_else_finds_them():
    chosen, service = serve.parser().parse_args(FRONT["args"]), RAY["Service", "freeze-omni-front"]
    ports = {one["name"]: one["port"] for one in service["spec"]["ports"]}
    host = service["metadata"]["name"]
    assert NODE["command"][:2] == ["ray", "start"] and f"{host}:{ports['ray']}" in NODE["command"]
    assert ports == {one["name"]: one["containerPort"] for one in FRONT["ports"]} and ports["http"] == chosen.port
    assert service["spec"]["selector"] == {"app": FRONT_POD["metadata"]["labels"]["app"]}
    assert service["spec"]["publishNotReadyAddresses"], "nodes join first"
    assert Hosts(ServerConfig(Path("toy"), allowed_hosts=tuple(chosen.allowed_hosts))).allow(host)
    for name, pod in (("freeze-omni-front", FRONT_POD), ("freeze-omni-node", NODE_POD)):
        assert RAY["Deployment", name]["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert chosen.engine == "ray" and chosen.devices == ["cuda"] and NODE["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert chosen.replicas == RAY["Deployment", "freeze-omni-node"]["spec"]["replicas"]
    assert NODE["image"] == FRONT["image"] and FRONT["command"][2].endswith('&& exec freeze-omni serve "$@"')
    assert all(str(chosen.model) in [one["mountPath"] for one in each["volumeMounts"]] for each in (NODE, FRONT))
    config = RAY["ConfigMap", "freeze-omni-front"]["data"][chosen.config.name]
    assert build(Limits, yaml.safe_load(config)["limits"], "limits").connections == 0
    policy = RAY["NetworkPolicy", "freeze-omni-ray"]["spec"]
    label = policy["podSelector"]["matchLabels"]
    assert all(label.items() <= pod["metadata"]["labels"].items() for pod in (FRONT_POD, NODE_POD))
    own, all_others = policy["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": label}}]} and all_others == {"ports": [{"port": "http"}]}


def test_the_image_is_made_of_files_that_exist_and_may_be_sent():
    allowed = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert sorted(copied) == sorted(allowed) and all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert '".[$EXTRAS]"' in DOCKERFILE and set(extras()) <= project["optional-dependencies"].keys()
    tested = (ROOT / "tools/constraints.txt").read_text().splitlines()[0].removeprefix("# Python ")
    assert f"FROM python:{tested}-slim\n" in DOCKERFILE, "as the pinned versions are for it"
    needed = {project["readme"], *project["license-files"], "pyproject.toml"}
    assert needed <= set(copied)


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_host_is_named_and_paths_are_there(path):
    text = path.read_text()
    assert not re.search(r"https?://", text)
    named = [name for name in re.findall(r"(?<![\w/.-])(?:tools|egs|docs)/[\w./-]*\w", text) if "/exp/" not in name]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_systemd_understands_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    path = tmp_path / "freeze-omni.service"
    path.write_text(UNIT.replace(UNIT_WORDS[0], shutil.which("true")))
    told = run("systemd-analyze", "verify", "--man=no", path)
    assert str(path.name) not in told.stderr, told.stderr


def docker() -> bool:
    """Whether a daemon answers; the program alone builds nothing."""
    return shutil.which("docker") is not None and run("docker", "info").returncode == 0


@pytest.mark.servers
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_image_is_built_and_starts(device):
    """For CPUs, without the cluster's extra; with CUDA and Ray, as the nodes of a cluster have it."""
    if not docker():
        pytest.skip("no docker daemon")
    index = os.environ.get("FREEZE_OMNI_TORCH_INDEX", "") if device == "cpu" else ""
    if device == "cpu" and not index:
        pytest.skip("FREEZE_OMNI_TORCH_INDEX names no index of torch's builds for CPUs")
    name, chosen = f"freeze-omni:test-{device}", extras()[: 1 if device == "cpu" else None]
    words = ["-f", DEPLOY / "Dockerfile", "--build-arg", f"TORCH_INDEX={index}"]
    subprocess.run(
        ["docker", "build", "-q", *words, "--build-arg", f"EXTRAS={','.join(chosen)}", "-t", name, ROOT], check=True
    )
    told = run("docker", "run", "--rm", name)
    assert told.returncode == 1 and told.stderr.startswith("serve: error: /model"), told.stderr
    code = "import torch; print(torch.version.cuda is not None)"
    assert run("docker", "run", "--rm", "--entrypoint", "python", name, "-c", code).stdout == f"{device == 'cuda'}\n"
    if "ray" in chosen:
        assert run("docker", "run", "--rm", "--entrypoint", "ray", name, "--version").returncode == 0
