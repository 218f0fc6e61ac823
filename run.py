"""Starts LiveRelay: `python run.py` serves, `python run.py --help` lists the other commands."""

import sys


def start() -> int:
    """Run the command line; without what it needs, say how to get that."""
    try:
        from server.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "server").startswith("server"):
            raise
        sys.stderr.write(
            f"liverelay: the package {error.name} is missing: run `make run` once and then "
            "`.venv/bin/python run.py`, or `pip install -r requirements.txt`\n"
        )
        return 2
    return main()


if __name__ == "__main__":
    sys.exit(start())
