"""The words of --fast-path, and why there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from natkit.aio.network import SocketNetwork
from natkit.errors import NatkitError, UsageError
from natkit.tools.relay_fast_path import (
    FastPath,
    FastPathMode,
    check_fast_path,
    let_routes_be_found,
    open_fast_path,
    parse_fast_path,
    refusal,
)
from tests.dataplane.kernel.serving import eventually

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the settings are Linux's")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("off", FastPath()),
        ("auto", FastPath(FastPathMode.AUTO)),
        ("xdp", FastPath(FastPathMode.XDP)),
        ("xdp:eth0,eth1", FastPath(FastPathMode.XDP, ("eth0", "eth1"))),
    ],
)
def test_words_of_the_fast_path_are_read(text: str, wanted: FastPath) -> None:
    assert parse_fast_path(text) == wanted


@pytest.mark.parametrize("text", ["", "on", "xdp:", "xdp:,", "auto:eth0", "off:eth0"])
def test_other_words_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="Write auto, off, xdp, or xdp:eth0,eth1"):
        parse_fast_path(text)


def test_check_says_what_open_would_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SocketNetwork()
    with pytest.raises(UsageError, match="there is no interface 'nope'"):
        check_fast_path(network, FastPath(FastPathMode.XDP, ("nope",)), [])
    auto = check_fast_path(network, FastPath(FastPathMode.AUTO), ["127.0.0.1"])
    assert "loopback interface alone" in (auto or "")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("socket.if_nametoindex", lambda _: 7)
    monkeypatch.setattr("natkit.dataplane.kernel.syscalls.hardware_address", lambda _: bytes(6))
    with pytest.raises(NatkitError, match=r"Linux 5\.9"):
        check_fast_path(network, FastPath(FastPathMode.XDP, ("eth0",)), [])


@LINUX
def test_setting_is_put_back_at_the_end(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("0\n")
    made = let_routes_be_found([setting])
    made.keep()
    made.close()
    made.close()
    assert setting.read_text() == "0"


@LINUX
def test_setting_stays_while_another_server_needs_it(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("0\n")
    first = let_routes_be_found([setting])
    second = let_routes_be_found([setting])
    second.close()
    assert setting.read_text() == "1"  # it was not the second that made it
    second = let_routes_be_found([setting])
    first.close()
    assert setting.read_text() == "1"
    second.close()


@LINUX
def test_setting_that_was_changed_since_is_left(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("0\n")
    made = let_routes_be_found([setting])
    setting.write_text("2")
    made.close()
    assert setting.read_text() == "2"


@LINUX
def test_setting_is_put_back_for_a_server_that_was_killed(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("0\n")
    code = "from natkit.tools.relay_forwarding import Forwarding as F; from pathlib import Path"
    code += f"; f = F([Path({str(setting)!r})]); f.keep(); print('kept', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"kept\n"
        assert setting.read_text() == "1"
        server.kill()
    assert eventually(lambda: setting.read_text() == "0")


@LINUX
def test_setting_that_is_right_is_not_written(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("1\n")
    setting.chmod(0o444)
    let_routes_be_found([setting, tmp_path / "absent"])
    assert setting.read_text() == "1\n"


def test_setting_is_made(tmp_path: Path) -> None:
    setting = tmp_path / "forwarding"
    setting.write_text("0\n")
    let_routes_be_found([setting])
    assert setting.read_text() == "1"


def test_setting_that_cannot_be_made_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Path("/proc/sys/net/ipv4/conf/lo/forwarding")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "0")
    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(UsageError, match=r"sysctl net\.ipv4\.conf\.lo\.forwarding=1"):
        let_routes_be_found([setting])


def test_auto_says_in_one_line_why_there_is_none() -> None:
    chosen = open_fast_path(SocketNetwork(), FastPath(FastPathMode.AUTO), ["127.0.0.1"])
    assert chosen.table is None
    assert (
        chosen.why_not == "no interface for the fast path: the server's addresses are on the "
        "loopback interface alone. Listen on an address that others reach, or leave --fast-path out"
    )


def test_asked_for_by_name_it_is_an_error_not_to_have_it() -> None:
    with pytest.raises(UsageError, match="loopback interface alone"):
        open_fast_path(SocketNetwork(), FastPath(FastPathMode.XDP), ["127.0.0.1"])


def test_interface_that_goes_while_it_is_looked_at_is_no_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_: str) -> bytes:
        raise OSError(19, "No such device")

    monkeypatch.setattr("socket.if_nametoindex", lambda _: 7)
    monkeypatch.setattr("natkit.dataplane.kernel.syscalls.hardware_address", gone)
    wanted = FastPath(FastPathMode.XDP, ("eth0",))
    with pytest.raises(NatkitError, match="cannot be made: No such device"):
        open_fast_path(SocketNetwork(), wanted, [])


def test_refusal_is_one_line_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    told = refusal()
    assert told is not None
    assert "Linux 5.9" in told
    assert "\n" not in told


@pytest.mark.root
@pytest.mark.needs("root")
def test_kernel_that_takes_the_program_refuses_nothing() -> None:
    assert refusal() is None


def test_off_asks_the_kernel_nothing() -> None:
    chosen = open_fast_path(SocketNetwork(), FastPath(), ["127.0.0.1"])
    assert (chosen.table, chosen.interfaces) == (None, ())
