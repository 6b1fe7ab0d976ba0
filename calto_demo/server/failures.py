"""What goes wrong outside of this program, and may be right again the next time."""

from __future__ import annotations

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

FAILURES = (SQLAlchemyError, RedisError, OSError)
"""What the database or Redis raise when they are away."""
