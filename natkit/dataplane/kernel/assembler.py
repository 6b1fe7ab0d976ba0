"""An assembler for the kernel's BPF machine (RFC 9669): a program reads like a packet's way.

    program = Assembler()
    program.load(R2, R1, Word(0, 4))
    program.jump_if(R2, "==", 0, "nothing")
    ...
    program.label("nothing")
    program.leave(PASS)
    code = program.assemble()

Rules of the file: a label may be used before it is set; jumps only go forward, as the verifier
likes them; operands are registers, or numbers that fit into 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, TypeAlias

from natkit.errors import NatkitError

_INSTRUCTION = Struct("<BBhi")
"""Opcode, registers (source in the upper half), offset, immediate (RFC 9669 §3.1)."""


class Register(NamedTuple):
    """One of the machine's eleven registers."""

    number: int


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, STACK = map(Register, range(11))
"""R0 takes results, R1 to R5 arguments; R6 to R9 outlive calls; STACK is the end of 512 bytes."""

Operand: TypeAlias = Register | int


class Field(NamedTuple):
    """A place in memory: so many bytes, so far from where a register points.

    Attributes: size: 1, 2, 4 or 8 bytes.
    """

    offset: int
    size: int

    def at(self, base: int) -> Field:
        """Return the same field of something that begins at `base`."""
        return Field(base + self.offset, self.size)


class MalformedProgram(NatkitError):
    """A program that cannot be assembled: a label is missing, set twice, or too far away."""


_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)
_REGISTER = 0x08
_SIZES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
_MEMORY, _ATOMIC = 0x60, 0xC0
_ARITHMETIC = {
    "+=": 0x00,
    "-=": 0x10,
    "*=": 0x20,
    "|=": 0x40,
    "&=": 0x50,
    "<<=": 0x60,
    ">>=": 0x70,
    "^=": 0xA0,
    "=": 0xB0,
}
_TO_BIG_ENDIAN = 0xD8
_CONDITIONS = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "<": 0xA0, "<=": 0xB0}
_GOTO, _CALL, _EXIT = 0x00, 0x80, 0x90
_WIDE_LOAD, _PSEUDO_MAP = 0x18, 1


class Assembler:
    """Collects instructions; each method adds one, `leave` and `map` two."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self._names = 0

    # Arithmetic.

    def set(self, to: Register, value: Operand) -> None:
        """to = value."""
        self.compute(to, "=", value)

    def compute(self, to: Register, operation: str, value: Operand) -> None:
        """Work on 64 bits: `operation` is one of = += -= *= |= &= <<= >>= ^=."""
        self._operate(_ALU64 | _ARITHMETIC[operation], to, value)

    def compute32(self, to: Register, operation: str, value: Operand) -> None:
        """Work on 32 bits, and clear the upper ones."""
        self._operate(_ALU | _ARITHMETIC[operation], to, value)

    def swap(self, to: Register, bits: int) -> None:
        """Turn 16, 32 or 64 bits from the network's order into the machine's, or back."""
        self._add(_ALU | _TO_BIG_ENDIAN, to, immediate=bits)

    # Memory.

    def load(self, to: Register, base: Register, field: Field) -> None:
        """to = what stands there; upper bits are cleared."""
        self._add(_LDX | _MEMORY | _SIZES[field.size], to, base, field.offset)

    def store(self, base: Register, field: Field, value: Operand) -> None:
        """Write to memory."""
        code = _MEMORY | _SIZES[field.size]
        if isinstance(value, Register):
            self._add(_STX | code, base, value, field.offset)
        else:
            self._add(_ST | code, base, offset=field.offset, immediate=value)

    def atomic_add(self, base: Register, field: Field, value: Register) -> None:
        """Add to memory that others add to as well (4 or 8 bytes)."""
        self._add(_STX | _ATOMIC | _SIZES[field.size], base, value, field.offset)

    def map(self, to: Register, descriptor: int) -> None:
        """to = a map, by its descriptor in this process."""
        self._add(_WIDE_LOAD, to, Register(_PSEUDO_MAP), immediate=descriptor)
        self._add(0, R0)

    # The way.

    def label(self, name: str) -> None:
        """Name this place. Raises: MalformedProgram: the name is taken."""
        if name in self._labels:
            raise MalformedProgram(f"the label {name} is set twice")
        self._labels[name] = len(self._code)

    def fresh(self, what: str) -> str:
        """Return a label that nobody else has."""
        self._names += 1
        return f"{what}.{self._names}"

    def goto(self, label: str) -> None:
        """Go on there."""
        self._jump(_JMP | _GOTO, R0, 0, label)

    def jump_if(self, value: Register, condition: str, other: Operand, label: str) -> None:
        """Go on there if 64 bits compare so, unsigned: == != < <= > >=, or & for common bits."""
        self._jump(_JMP | _CONDITIONS[condition], value, other, label)

    def call(self, helper: int) -> None:
        """Call one of the kernel's helpers: R0 = helper(R1, .. R5), which are gone then."""
        self._add(_JMP | _CALL, R0, immediate=helper)

    def leave(self, verdict: int | None = None) -> None:
        """End with a verdict; None: with the one in R0."""
        if verdict is not None:
            self.set(R0, verdict)
        self._add(_JMP | _EXIT, R0)

    # The code.

    def assemble(self) -> bytes:
        """Return the machine's code. Raises: MalformedProgram."""
        code = list(self._code)
        for at, name in self._jumps:
            there = self._labels.get(name)
            if there is None:
                raise MalformedProgram(f"there is a jump to {name}, which is nowhere")
            if not 0 <= there - at - 1 < 1 << 15:
                raise MalformedProgram(f"the jump to {name} goes back, or too far")
            opcode, registers, _, immediate = code[at]
            code[at] = (opcode, registers, there - at - 1, immediate)
        return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)

    def places(self) -> Iterator[tuple[int, str]]:
        """Yield the labels and where they are, to read the verifier's log by."""
        return ((at, name) for name, at in self._labels.items())

    def _operate(self, opcode: int, to: Register, value: Operand) -> None:
        if isinstance(value, Register):
            self._add(opcode | _REGISTER, to, value)
        else:
            self._add(opcode, to, immediate=value)

    def _jump(self, opcode: int, value: Register, other: Operand, label: str) -> None:
        self._jumps.append((len(self._code), label))
        self._operate(opcode, value, other)

    def _add(
        self,
        opcode: int,
        to: Register,
        source: Register = R0,
        offset: int = 0,
        immediate: int = 0,
    ) -> None:
        signed = immediate - (1 << 32) if immediate >= 1 << 31 else immediate
        self._code.append((opcode, source.number << 4 | to.number, offset, signed))
