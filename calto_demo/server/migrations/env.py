"""Alembic's entry: runs the steps on the connection that `database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from calto_demo.server.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a table: Alembic copies it
)
with context.begin_transaction():
    context.run_migrations()
