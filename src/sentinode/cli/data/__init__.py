"""The command ``data`` and its subcommands."""
