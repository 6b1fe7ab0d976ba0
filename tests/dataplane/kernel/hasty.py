"""natkit's command line, with less patience for what it looks at once a minute."""

from __future__ import annotations

from natkit.cli import turn
from natkit.cli.main import main

turn.LOOK = 0.1

if __name__ == "__main__":
    main()
