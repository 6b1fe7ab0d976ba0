"""The database's URL, and its tables from nothing."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import pytest
import trustme
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from calto_demo.server.database import Database, open_database
from calto_demo.server.tables import metadata
from natkit import AuthenticationFailed, NatkitError, NetworkUnreachable, UsageError
from tests.calto.real_servers import postgresql


async def test_the_migrations_make_what_the_tables_say(database: Database):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_database_is_opened_again_with_what_is_in_it(database_url: str):
    for _ in range(2):
        await (await open_database(database_url)).close()


@pytest.mark.parametrize("url", ["", "calto", "mysql://u:hunter2@h/x"])
async def test_a_url_that_is_none_is_refused_with_no_password_in_the_words(url: str):
    with pytest.raises(UsageError) as caught:
        await open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "sqlite:///" in str(caught.value.hint)


async def test_a_database_that_cannot_be_reached_is_told_without_its_password():
    words = r"cannot use the database postgresql.*:\*\*\*@"
    with pytest.raises(NetworkUnreachable, match=words) as caught:
        await open_database("postgresql://calto:hunter2@127.0.0.1:1/calto")
    assert caught.value.why
    assert "Is it running" in str(caught.value.hint)


@pytest.mark.parametrize("where", ["none/x.db", "."], ids=["no folder", "a folder"])
async def test_a_file_that_cannot_be_opened_is_refused_with_what_it_needs(
    tmp_path: Path, where: str
):
    with pytest.raises(UsageError, match="cannot use the database sqlite:") as caught:
        await open_database(f"sqlite:///{tmp_path / where}")
    assert caught.value.why
    assert "folder" in str(caught.value.hint)


async def test_a_file_that_is_no_database_is_told_from_one_that_may_not_be_opened(tmp_path: Path):
    file = tmp_path / "notdb.txt"
    file.write_text("a letter, and no database " * 100)
    with pytest.raises(UsageError, match="file is not a database") as caught:
        await open_database(f"sqlite:///{file}")
    assert "Name another file" in str(caught.value.hint)


@pytest.mark.parametrize("said", [None, "no certificate"], ids=["no file", "another file"])
async def test_an_authority_that_cannot_be_read_is_told_before_anything_is_asked(
    tmp_path: Path, said: str | None
):
    file = tmp_path / "ca.pem"
    if said is not None:
        file.write_text(said)
    url = f"postgresql://u:p@127.0.0.1:1/x?sslmode=verify-full&sslrootcert={file}"
    with pytest.raises(UsageError, match="cannot use the certificate") as caught:
        await open_database(url)
    assert "PEM" in str(caught.value.hint)


def modes_in(where: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in where.iterdir()}


async def test_the_file_with_the_secret_in_it_is_its_owners_alone(tmp_path: Path):
    before = os.umask(0o022)
    try:
        database = await open_database(f"sqlite:///{tmp_path}/calto.db")
        modes = modes_in(tmp_path)
        await database.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("calto.db", "calto.db-wal", "calto.db-shm"), 0o600)


@pytest.mark.parametrize(("mode", "warns"), [(0o644, True), (0o640, True), (0o600, False)])
async def test_a_file_that_others_may_read_is_warned_of_with_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warns: bool
):
    url = f"sqlite:///{tmp_path}/calto.db"
    await (await open_database(url)).close()
    (tmp_path / "calto.db").chmod(mode)
    with caplog.at_level(logging.WARNING, "calto.sqlite"):
        await (await open_database(url)).close()
    assert (f"chmod 600 {tmp_path}/calto.db*" in caplog.text) is warns


@pytest.mark.interop
@pytest.mark.needs("root", "pg_ctlcluster", "setpriv")
async def test_a_login_that_postgresql_refuses_is_told_from_a_server_that_is_away(tmp_path: Path):
    with postgresql() as url:
        login, _, place = url.rpartition("@")
        user = login.rpartition("//")[2].partition(":")[0]
        with pytest.raises(AuthenticationFailed) as caught:
            await open_database(f"postgresql://not-{user}:wrong@{place}")
        assert "password right" in str(caught.value.hint)


@pytest.mark.interop
@pytest.mark.needs("root", "pg_ctlcluster", "setpriv")
async def test_postgresql_is_spoken_to_with_tls_and_its_certificate_checked(tmp_path: Path):
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    for name, authority in (("ca.pem", ca), ("other.pem", other)):
        authority.cert_pem.write_to_path(tmp_path / name)
    with postgresql(tls=files) as url:
        checked = f"{url}?sslmode=verify-full&sslrootcert={tmp_path}"
        database = await open_database(f"{checked}/ca.pem")
        async with database.reading() as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert (await connection.exec_driver_sql(query)).scalar_one() is True
        await database.close()
        with pytest.raises((NetworkUnreachable, ssl.SSLError)):
            await open_database(f"{checked}/other.pem")
        with pytest.raises(NatkitError, match="encryption"):
            await open_database(f"{url}?sslmode=disable")
