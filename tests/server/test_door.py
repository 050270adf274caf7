"""Who may come in: names, addresses, keys, certificates, connections of one address."""

from __future__ import annotations

import datetime
import socket
import time
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
from cryptography import x509

from freeze_omni.server import tls
from freeze_omni.server.config import Limits, ServerConfig
from freeze_omni.server.door import Hosts, is_loopback, refused_listening
from freeze_omni.server.tls import self_made
from tests.server.rig import serving
from tests.toy import toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST.:8765", True),
        ("127.0.0.1:8765", True),
        ("192.168.1.7", True),
        ("[::1]:8765", True),
        ("[fe80::1]", True),
        (socket.gethostname(), True),
        ("app.localhost", True),
        ("voice.example.org:443", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[evil.example]", False),
        ("", False),
    ],
)
def test_names_of_this_server(name, allowed):
    assert Hosts(ServerConfig(Path("toy"), allowed_hosts=("Voice.example.org",))).allow(name) is allowed
    assert Hosts(ServerConfig(Path("toy"), allowed_hosts=("*",))).allow(name) or not name


PATHS = ["/", "/page.js", "/health", "/livez", "/readyz", "/metrics", "/v1/models", "/v1/realtime"]


@pytest.mark.parametrize("path", PATHS)
def test_a_page_whose_name_was_pointed_here_gets_nothing(place, path):
    headers = {"Host": f"evil.example:{place.rsplit(':')[1]}"}
    if path != "/v1/realtime":
        told = httpx.get(f"http://{place}{path}", headers=headers)
        assert told.status_code == 403 and told.json()["error"]["code"] == "wrong_host"
        assert httpx.get(f"http://{place}{path}").status_code == 200
        return
    with pytest.raises(websockets.InvalidStatus) as refused:
        with websockets.sync.client.connect(
            f"ws://evil.example:{headers['Host'].split(':')[1]}{path}",
            sock=socket.create_connection(place.split(":")),
            origin=f"http://{headers['Host']}",
        ):
            pass
    assert refused.value.response.status_code == 403


@pytest.fixture(scope="module")
def place(model):
    with serving(model) as (place, _):
        yield place


@pytest.mark.parametrize(
    ("host", "key", "without", "fault"),
    [
        ("127.0.0.1", "", False, ""),
        ("localhost", "", False, ""),
        ("::1", "", False, ""),
        ("0.0.0.0", "", False, "--no_api_key"),
        ("::", "", False, "--no_api_key"),
        ("", "", False, "--no_api_key"),
        ("192.168.1.7", "", False, "FREEZE_OMNI_API_KEY"),
        ("server.example", "", False, "--no_api_key"),
        ("0.0.0.0", "secret", False, ""),
        ("0.0.0.0", "", True, ""),
        ("127.0.0.1", "schlüssel", False, "ASCII"),
        ("127.0.0.1", "two words", False, "blanks"),
    ],
)
def test_other_machines_need_a_key_or_an_explicit_word(host, key, without, fault):
    found = refused_listening(host, key, without)
    assert fault in found and bool(fault) == bool(found) and "\n" not in found
    assert is_loopback(host) == (host in ("127.0.0.1", "localhost", "::1"))


def test_what_shows_a_servers_use_asks_for_the_key_and_its_health_does_not(model):
    with serving(model, api_key="secret") as (place, _):
        for path in ("/metrics", "/v1/models"):
            assert httpx.get(f"http://{place}{path}").status_code == 401
            assert httpx.get(f"http://{place}{path}", headers={"Authorization": "Bearer secret"}).status_code == 200
        for path in ("/livez", "/readyz", "/health", "/health/live", "/health/ready"):
            assert httpx.get(f"http://{place}{path}").status_code == 200


def test_a_server_without_a_worker_lives_and_is_not_ready(model):
    with serving(model) as (place, router):
        router.handles[0].ready = None
        for path in ("/livez", "/health/live"):
            assert httpx.get(f"http://{place}{path}").status_code == 200
        for path in ("/readyz", "/health", "/health/ready"):
            assert httpx.get(f"http://{place}{path}").status_code == 503


def test_an_address_has_a_bound_of_connections(model):
    with serving(model, limits=Limits(connections=3)) as (place, _):
        own = [socket.create_connection(place.split(":")) for _ in range(2)]
        with websockets.sync.client.connect(f"ws://{place}/v1/realtime") as talk:
            talk.recv()
            assert httpx.get(f"http://{place}/health").status_code == 429
        for one in own:
            one.close()
        end_s = time.monotonic() + 10
        while httpx.get(f"http://{place}/health").status_code == 429:
            assert time.monotonic() < end_s, "there is no room again"


def test_a_request_that_does_not_come_is_not_waited_for(model):
    with serving(model, limits=Limits(request_s=0.3)) as (place, _):
        with socket.create_connection(place.split(":"), timeout=10) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: ")
            assert slow.recv(100) == b""


# certificates


def expires(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def test_an_expired_certificate_is_made_anew(tmp_path, monkeypatch):
    with monkeypatch.context() as past:
        past.setattr(tls, "VALID", datetime.timedelta(days=20))
        cert, key = self_made(tmp_path, "localhost")
    before = key.read_bytes()
    assert expires(cert) < datetime.datetime.now(datetime.UTC) + tls.RENEWED
    self_made(tmp_path, "localhost")
    assert expires(cert) > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=300)
    assert key.read_bytes() != before and key.stat().st_mode & 0o077 == 0


def test_a_certificate_that_does_not_fit_is_made_anew(tmp_path):
    cert, key = self_made(tmp_path, "localhost")
    one = cert.read_bytes()
    self_made(tmp_path, "voice.example")
    assert cert.read_bytes() != one, "for another name"
    two = cert.read_bytes()
    key.write_bytes(key.read_bytes()[:20])
    self_made(tmp_path, "voice.example")
    assert cert.read_bytes() != two, "with its key"
    key.unlink()
    self_made(tmp_path, "voice.example")
    assert key.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cert.pem", "key.pem"]


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "cert.pem").write_text("of somebody else")
    (tmp_path / "key.pem").write_text("a secret")
    with pytest.raises(ValueError, match="cert.pem: not a certificate that freeze-omni has made"):
        self_made(tmp_path, "localhost")
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(ValueError, match="key.pem: a key without its certificate"):
        self_made(tmp_path, "localhost")
    assert (tmp_path / "key.pem").read_text() == "a secret"
