"""Script: the next scripted answer, from one that stays or from a list that is used up."""

from typing import TypeVar

T = TypeVar("T")


def next_of(script: list[T | None] | T | None) -> T | None:
    """Take the next entry of a list; what is not a list stays until it is changed."""
    if isinstance(script, list):
        return script.pop(0) if script else None
    return script
