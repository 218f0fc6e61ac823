"""Starts LiveRelay: `python run.py` serves, `python run.py --help` lists the other commands."""

import sys

from server.cli import main

if __name__ == "__main__":
    sys.exit(main())
