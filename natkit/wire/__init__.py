"""Bytes and frozen values: STUN, TURN and ICE on the wire. Only `MalformedMessage` escapes."""

from natkit.wire.address import TransportAddress

__all__ = ["TransportAddress"]
