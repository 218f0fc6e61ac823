"""The sign budget: every request to the sign server passes here, and none that would be refused."""

from server.upstream.guard.guard import Ask, Guard, Permit

__all__ = ["Ask", "Guard", "Permit"]
