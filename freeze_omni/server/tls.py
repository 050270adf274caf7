"""A certificate made here, for browsers that give the microphone to https alone."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path


def self_made(folder: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key in `folder`, made once; for localhost, this machine's name and `host`. Raises ImportError."""
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    if cert_path.exists() and key_path.exists():
        return cert_path, key_path
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ImportError("a self-made certificate needs the extra 'serve': pip install 'freeze_omni[serve]'") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "freeze-omni")])
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dict.fromkeys(["localhost", socket.gethostname()])]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    if host not in ("127.0.0.1", "0.0.0.0", "::", "localhost"):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    return cert_path, key_path
