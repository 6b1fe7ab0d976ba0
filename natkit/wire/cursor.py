"""The one place where bytes become numbers: a bounds-checked reader over untrusted input.

Every decoder reads through a `Cursor`, or through an `Exactly`, its form for values of one known
size. Both raise MalformedMessage and nothing else.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Any

from natkit.errors import MalformedMessage

_U16 = Struct("!H")
_U32 = Struct("!I")
_U64 = Struct("!Q")


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

    def u64(self, where: str) -> int:
        """Read eight bytes as an unsigned number. Raises: MalformedMessage: fewer are left."""
        number: int = _U64.unpack(self.take(8, where))[0]
        return number

    def take(self, size: int, where: str) -> bytes:
        """Read `size` bytes. Raises: MalformedMessage: fewer are left."""
        end = self._offset + size
        if end > len(self._data):
            raise self.malformed(where, f"needs {size} bytes, {self.left} left")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

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


class Exactly:
    """Reads a value whose size is known, in one step: the cursor's fast lane.

    Args:
        layout: the fields in the letters of `struct`, all of the value ("!I").
        where:  the field that is wrong when the size is.
        rfc:    the clause that fixes the size.
    """

    __slots__ = ("_rfc", "_struct", "_unpack", "_where")

    def __init__(self, layout: str, where: str, rfc: str) -> None:
        self._struct = Struct(layout)
        self._unpack = self._struct.unpack
        self._where = where
        self._rfc = rfc

    def read(self, value: bytes) -> tuple[Any, ...]:
        """Return the fields of `value`. Raises: MalformedMessage: its size is another."""
        try:
            return self._unpack(value)
        except error:
            why = f"{len(value)} bytes, not {self._struct.size}"
            raise MalformedMessage(self._where, self._rfc, why) from None

    def write(self, *fields: int | bytes) -> bytes:
        """Return the value that holds `fields`. Raises: ValueError: one does not fit."""
        try:
            return self._struct.pack(*fields)
        except error as cause:
            raise ValueError(f"{self._where}: {cause}") from None
