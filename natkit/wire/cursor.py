"""The one place where bytes become numbers: a bounds-checked reader over untrusted input.

Decoders read through a `Cursor`, or through `unpack_all` where the size is known beforehand. Both
raise MalformedMessage and nothing else. The one loop that walks a message's attributes does its
own bounds check, in one line, for speed (natkit.wire.message).
"""

from __future__ import annotations

from struct import Struct, error
from typing import Any

from natkit.errors import MalformedMessage

_U16 = Struct("!H")
_U32 = Struct("!I")


class Cursor:
    """Reads big-endian fields from front to back and never past the end.

    Args:
        data: the bytes to read.
        rfc:  the clause that the data must follow, for example "RFC 8489 §14.8".
    """

    __slots__ = ("_data", "_offset", "_rfc")

    def __init__(self, data: bytes, rfc: str) -> None:
        self._data = data
        self._offset = 0
        self._rfc = rfc

    @property
    def left(self) -> int:
        """The number of bytes not read yet."""
        return len(self._data) - self._offset

    def u8(self, where: str) -> int:
        """Read one byte. Raises: MalformedMessage: none is left."""
        return self.take(1, where)[0]

    def u16(self, where: str) -> int:
        """Read two bytes as an unsigned number. Raises: MalformedMessage: fewer are left."""
        number: int = _U16.unpack(self.take(2, where))[0]
        return number

    def u32(self, where: str) -> int:
        """Read four bytes as an unsigned number. Raises: MalformedMessage: fewer are left."""
        number: int = _U32.unpack(self.take(4, where))[0]
        return number

    def take(self, size: int, where: str) -> bytes:
        """Read `size` bytes. Raises: MalformedMessage: fewer are left."""
        end = self._offset + size
        if end > len(self._data):
            raise self.malformed(where, f"needs {size} bytes, {self.left} left")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def unpack(self, layout: Struct, where: str) -> tuple[Any, ...]:
        """Read the fields that `layout` describes. Raises: MalformedMessage: too little is left."""
        return layout.unpack(self.take(layout.size, where))

    def rest(self) -> bytes:
        """Read all that is left, which may be nothing."""
        rest = self._data[self._offset :]
        self._offset = len(self._data)
        return rest

    def text(self, where: str) -> str:
        """Read all that is left as UTF-8. Raises: MalformedMessage: it is not UTF-8."""
        try:
            return self.rest().decode()
        except UnicodeDecodeError as cause:
            raise self.malformed(where, f"not UTF-8: {cause.reason}") from None

    def end(self, where: str) -> None:
        """Make sure that nothing is left. Raises: MalformedMessage: something is."""
        if self._offset != len(self._data):
            raise self.malformed(where, f"{self.left} bytes too many")

    def malformed(self, where: str, why: str) -> MalformedMessage:
        """Return, for the caller to raise, the error that names this cursor's clause."""
        return MalformedMessage(where, self._rfc, why)


def unpack_all(layout: Struct, data: bytes, where: str, rfc: str) -> tuple[Any, ...]:
    """Return the fields of `data`, which `layout` describes from end to end.

    Raises: MalformedMessage: `data` is shorter or longer.
    """
    try:
        return layout.unpack(data)
    except error:
        raise MalformedMessage(where, rfc, f"{len(data)} bytes, not {layout.size}") from None
