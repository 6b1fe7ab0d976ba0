"""The start of the `natkit` command, and `python -m natkit` where it is not on the PATH."""

import sys


def run() -> None:
    """Run this process's command line, and exit with its code."""
    try:
        # Imported here because it takes a tenth of a second, in which Ctrl-C may come, too.
        from natkit.cli.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
