"""The words: how a NAT maps, filters and numbers, as RFC 4787 and RFC 5780 name it.

Mapping and filtering are two axes, so they are two types. RFC 3489's names for some of the
combinations live in natkit.nat.verdict, as aliases for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Mapping(Enum):
    """Which part of the destination selects the mapping (RFC 4787 §4.1)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


class Filtering(Enum):
    """Which remote endpoints may send to a mapping (RFC 4787 §5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


class Status(Enum):
    """What stands behind a value."""

    MEASURED = "measured"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not-measured"


@dataclass(frozen=True, slots=True)
class Measured(Generic[T]):
    """A property that was measured, or the reason why it was not.

    Attributes:
        value:    the finding; None unless `status` is MEASURED.
        status:   MEASURED, INCONCLUSIVE (asked, but the answers do not settle it) or
                  NOT_MEASURED (not asked, or it could not be).
        reason:   one sentence: what settles it, or what was missing.
        evidence: the observations behind it, one line each.
    """

    value: T | None
    status: Status
    reason: str
    evidence: tuple[str, ...] = ()

    @classmethod
    def found(cls, value: T, reason: str, *evidence: str) -> Measured[T]:
        """A value that the evidence settles."""
        return cls(value, Status.MEASURED, reason, evidence)

    @classmethod
    def inconclusive(cls, reason: str, *evidence: str) -> Measured[T]:
        """Asked, and still open."""
        return cls(None, Status.INCONCLUSIVE, reason, evidence)

    @classmethod
    def not_measured(cls, reason: str, *evidence: str) -> Measured[T]:
        """Not asked, or not askable here."""
        return cls(None, Status.NOT_MEASURED, reason, evidence)
