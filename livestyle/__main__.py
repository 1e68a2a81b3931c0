"""``python -m livestyle`` is the command ``livestyle``."""

from livestyle.cli import main

main()
