"""The database's URL, and its tables from nothing."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from calto_demo.server.database import Database, open_database
from calto_demo.server.tables import metadata
from natkit import UsageError
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
    with pytest.raises(UsageError, match=r"cannot use the database postgresql.*:\*\*\*@") as caught:
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
        with pytest.raises((UsageError, ssl.SSLError)):
            await open_database(f"{checked}/other.pem")
        with pytest.raises(UsageError, match="encryption"):
            await open_database(f"{url}?sslmode=disable")
