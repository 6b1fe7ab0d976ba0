"""`python -m natkit` is the `natkit` command, for where the script is not on the PATH."""

from natkit.cli.main import main

main()
