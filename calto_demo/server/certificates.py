"""A certificate for `--tls self-signed`: browsers ask once, then give the page the microphone."""

from __future__ import annotations

import socket
from pathlib import Path

import trustme

from calto_demo.server.settings import Certificate


def self_signed(host: str, directory: Path) -> Certificate:
    """Write a certificate for this machine into `directory`; nobody has vouched for it."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), host} - {"0.0.0.0", "::"}
    authority = trustme.CA(organization_name="Calto, self-signed")
    issued = authority.issue_cert(*sorted(name for name in names if name), common_name="Calto")
    path = directory / "calto.pem"
    path.touch(mode=0o600)
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    return Certificate(path, None, trusted=False)
