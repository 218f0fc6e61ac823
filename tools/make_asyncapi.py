"""Write docs/asyncapi.json from the structs that are the wire.

python -m tools.make_asyncapi          writes the file
python -m tools.make_asyncapi --check  fails when the file is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from server.web.asyncapi import encoded

TARGET: Final = Path(__file__).parents[1] / "docs" / "asyncapi.json"


def main() -> int:
    """Write or check; returns the exit status."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_bytes(encoded())
        return 0
    if TARGET.read_bytes() == encoded():
        return 0
    print(f"{TARGET} is out of date: python -m tools.make_asyncapi")
    return 1


if __name__ == "__main__":
    sys.exit(main())
