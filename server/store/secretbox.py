"""Users' EulerStream keys at rest: encrypted with a key file beside the database.

A copy of the database alone reveals none of them; the key file is made on first need, mode 0600.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.errors import StoreUnavailable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class SecretBox:
    """AES-256-GCM; a box is bound to its owner, so that rows cannot be swapped."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        self._cipher: AESGCM | None = None

    def seal(self, text: str, owner: str) -> bytes:
        """Encrypt. Raises StoreUnavailable when the key file cannot be made or read."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._key(make=True).encrypt(nonce, text.encode(), owner.encode())

    def open(self, box: bytes, owner: str) -> str:
        """Decrypt. Raises StoreUnavailable when the key file is gone or is not the right one."""
        nonce, sealed = box[:NONCE_BYTES], box[NONCE_BYTES:]
        try:
            return self._key(make=False).decrypt(nonce, sealed, owner.encode()).decode()
        except InvalidTag:
            raise StoreUnavailable(f"{self._key_file.name} is not this database's key") from None

    def _key(self, *, make: bool) -> AESGCM:
        if self._cipher is None:
            try:
                key = self._make() if make and not self._key_file.exists() else self._read()
                self._cipher = AESGCM(key)
            except (OSError, ValueError) as error:
                raise StoreUnavailable(f"{self._key_file.name}: {error}") from None
        return self._cipher

    def _read(self) -> bytes:
        return self._key_file.read_bytes()

    def _make(self) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        return key
