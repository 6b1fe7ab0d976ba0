"""The tables of the database. A change here needs a step in `migrations/versions`."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row: what signs tokens, where the owner has given nothing.
keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret", String(64), nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("kind", String(10), nullable=False),
    # Who they are to the provider they signed in with; guests are nobody anywhere else.
    Column("issuer", String(255)),
    Column("subject", String(255)),
    Column("created_at", Float, nullable=False),
    Column("last_seen", Float),
    UniqueConstraint("issuer", "subject"),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("agent", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("signed_out_at", Float),
)

contacts = Table(
    "contacts",
    metadata,
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("contact_id", ForeignKey("users.id"), primary_key=True, index=True),
)

calls = Table(
    "calls",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("caller", ForeignKey("users.id"), nullable=False),
    Column("caller_session", String(64), nullable=False),
    Column("callee", ForeignKey("users.id"), nullable=False),
    Column("callee_session", String(64)),
    Column("path", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("reason", String(20)),
    Column("by", String(40)),
    Column("message", String(200)),
    Column("started_at", Float, nullable=False),
    Column("ringing_at", Float),
    Column("answered_at", Float),
    Column("connected_at", Float),
    Column("ended_at", Float),
    Column("caller_away_since", Float),
    Column("callee_away_since", Float),
    # When time ends it; what is over has none.
    Column("deadline", Float, index=True),
    # The caller's offer, while somebody may still answer it.
    Column("offer", Text),
    Index("ix_calls_caller_started_at", "caller", "started_at"),
    Index("ix_calls_callee_started_at", "callee", "started_at"),
    Index("ix_calls_state", "state"),
)

call_paths = Table(
    "call_paths",
    metadata,
    Column("call_id", ForeignKey("calls.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("local", JSON),
    Column("remote", JSON),
    Column("relay", String(300)),
    Column("encryption", String(100)),
    Column("explanation", Text, nullable=False),
    Column("quality", JSON),
    Column("pairs", JSON, nullable=False),
    # How that side looked for a path: what the words are made of.
    Column("search", JSON),
)
