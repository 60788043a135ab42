"""`python -m notifier`."""

from notifier.cli.main import main

main()
