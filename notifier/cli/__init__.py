"""The commands: they parse, call and print. Exit codes are those of sysexits(3)."""
