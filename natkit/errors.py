"""The one error tree: every error says what happened, why, and what to do next.

Each class owns the exit code that the command line ends with; the codes are documented in
`natkit help exit-codes` and in docs/cli.md.
"""

from __future__ import annotations


class NatkitError(Exception):
    """An expected failure, worded for the person who reads it.

    Args:
        what: what happened, one sentence without a full stop.
        why:  the cause, where it is known.
        hint: what to do next, where there is something to do.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what if self.why is None else f"{self.what}: {self.why}"]
        if self.hint is not None:
            parts.append(self.hint)
        return ". ".join(parts)


class MalformedMessage(NatkitError):
    """Bytes that are not what a specification says they must be.

    The only exception that a decoder in `natkit.wire` or `natkit.portmap` lets escape.

    Args:
        where: the field that was wrong, for example "attribute length".
        rfc:   the clause it broke, for example "RFC 8489 §14".
        why:   what was found instead.
    """

    def __init__(self, where: str, rfc: str, why: str) -> None:
        super().__init__(f"malformed {where}", why=f"{why} ({rfc})")
        self.where = where
        self.rfc = rfc


class UsageError(NatkitError):
    """The caller asked for something that makes no sense as asked."""

    exit_code = 2


class NetworkUnreachable(NatkitError):
    """No answer came, or no packet could leave."""

    exit_code = 3


class AuthenticationFailed(NatkitError):
    """A server refused the credentials."""

    exit_code = 4


class RequirementNotMet(NatkitError):
    """A `--require` did not hold."""

    exit_code = 5


class Unsupported(NatkitError):
    """This machine, kernel or installation cannot do what was asked."""
