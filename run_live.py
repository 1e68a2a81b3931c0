"""Run the live filter: the same as ``livestyle live``, with the same arguments."""

import sys

from livestyle.cli import main

if __name__ == "__main__":
    main(["live", *sys.argv[1:]])
