"""A peer that is a program of its own, and talks in lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any


class Talker:
    """The other end of a program's input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def tell(self, **told: Any) -> None:
        """Say one thing."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(told)}\n".encode())

    async def said(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what it says, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield json.loads(line)


@contextlib.asynccontextmanager
async def talker(*command: str) -> AsyncIterator[Talker]:
    """Run a program, which ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Talker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
