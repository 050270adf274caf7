"""A certificate made here, for browsers that give the microphone to https alone."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

NAME = "freeze-omni"
VALID, RENEWED = datetime.timedelta(days=365), datetime.timedelta(days=30)
"""How long a certificate is good, and how long before its end it is made anew."""


def self_made(folder: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key in `folder`, for localhost, this machine's name and `host`.

    They are made once, and anew when they soon expire, do not belong together, or `host` is another. Raises
    ImportError; ValueError if there are others in the folder that were not made here.
    """
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ImportError("a self-made certificate needs the extra 'serve': pip install 'freeze_omni[serve]'") from None
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dict.fromkeys(["localhost", socket.gethostname()])]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    if host not in ("127.0.0.1", "0.0.0.0", "::", "localhost", ""):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    if _fits(cert_path, key_path, names):
        return cert_path, key_path
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(key_path, pem, 0o600)
    _replace(cert_path, cert.public_bytes(serialization.Encoding.PEM), 0o644)
    return cert_path, key_path


def _fits(cert_path: Path, key_path: Path, names: list[Any]) -> bool:
    """Whether what is there can be used. Raises ValueError if it was not made here."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not cert_path.exists():
        if key_path.exists():
            raise ValueError(f"{key_path}: a key without its certificate; give another folder to --tls_self_made")
        return False
    try:
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        own = cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == NAME
    except (ValueError, IndexError):
        own = False
    if not own:
        text = "not a certificate that freeze-omni has made: give another folder, or use it by --tls_cert and --tls_key"
        raise ValueError(f"{cert_path}: {text}")
    try:
        same = load_pem_private_key(key_path.read_bytes(), None).public_key() == cert.public_key()
    except (OSError, ValueError):
        same = False
    known = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = cert.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return same and left > RENEWED and all(name in list(known) for name in names)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    part.replace(path)
