"""The commands. They parse, call and print; what a command does stands elsewhere. Exit codes are those of sysexits(3)."""
