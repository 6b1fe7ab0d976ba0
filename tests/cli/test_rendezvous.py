"""`natkit rendezvous serve`: what it listens on, and how it ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from natkit.cli.main import main
from tests.cli.test_connect import QUICK, UNKNOWN, line, natkit, rest
from tests.ports import free_port


@pytest.mark.slow
def test_https_where_there_is_a_certificate(tmp_path: Path):
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    at = f"127.0.0.1:{port}"
    words = ("rendezvous", "serve", "--listen", at, "--tls-cert", str(tmp_path / "both.pem"))
    with natkit(*words) as process:
        assert line(process) == f"ready: https://{at}"
        url = f"https://localhost:{port}"
        ask = ["connect", *QUICK, "--rendezvous", url, UNKNOWN]
        runner = CliRunner()
        believed = runner.invoke(main, [*ask, "--ca-file", str(tmp_path / "ca.pem")])
        doubted = runner.invoke(main, ask)
        unasked = runner.invoke(main, [*ask, "--insecure"])
        process.send_signal(signal.SIGTERM)
        assert rest(process) == ("", "")
        assert process.returncode == 0
    assert (believed.exit_code, unasked.exit_code) == (4, 4), believed.output
    assert doubted.exit_code == 3
    assert "certificate" in doubted.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "sentence"),
    [
        (("--listen", "localhost"), 2, "is not an IP address"),
        (("--tls-key", __file__), 2, "--tls-key needs --tls-cert"),
        (("--tls-cert", __file__), 2, "cannot use the certificate"),
        (("--listen", "192.0.2.77:7478"), 3, "cannot use the local address"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_said(words: tuple[str, ...], exit_code: int, sentence: str):
    result = CliRunner().invoke(main, ["rendezvous", "serve", *words])
    assert result.exit_code == exit_code
    assert sentence in result.stderr
