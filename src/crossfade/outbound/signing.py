"""The hub's key: Ed25519, made at the first start, kept in the data folder; and checking with its public half.

``signing.key`` holds the 32 raw bytes of the private key and is readable by its owner alone; ``signing.pub``
holds the public key as PEM, for whoever wants to check a certificate without a hub.

Source: RFC 8032 (Ed25519), RFC 8410 (its PEM).
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from crossfade.outbound.host import write_private

KEY_FILE: Final = "signing.key"
PUBLIC_FILE: Final = "signing.pub"


class Ed25519Signer:
    """``engine.ports.Signer`` over 32 bytes of secret."""

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError unless ``secret`` has 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = PublicKey(self._key.public_key())

    @property
    def keyid(self) -> str:
        """Hex SHA-256 of the raw public key."""
        return self.public.keyid

    def sign(self, content: bytes) -> bytes:
        """64 bytes; the same for the same content."""
        return self._key.sign(content)


class PublicKey:
    """What anybody needs to check a certificate."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.keyid = sha256(key.public_bytes_raw()).hexdigest()

    def check(self, content: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``content``."""
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """As it is written to a file."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signing_key(folder: Path) -> Ed25519Signer:
    """The key of a data folder, made at the first call. Raises ValueError for a file that holds no key, or is gone.

    The public file is written again if it is missing or is another key's.
    """
    path = folder / KEY_FILE
    if not path.exists():
        if (folder / PUBLIC_FILE).exists():  # a new key would disown what the old one has signed
            raise ValueError(f"{path} is gone, and {PUBLIC_FILE} shows that there was one")
        write_private(path, Ed25519PrivateKey.generate().private_bytes_raw())
    try:
        signer = Ed25519Signer(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} does not hold a key of 32 bytes") from None
    public = folder / PUBLIC_FILE
    if not public.exists() or public.read_bytes() != signer.public.pem():
        public.write_bytes(signer.public.pem())
    return signer


def ephemeral_key() -> Ed25519Signer:
    """A key for a hub that keeps nothing."""
    return Ed25519Signer(Ed25519PrivateKey.generate().private_bytes_raw())


def read_public(content: bytes) -> PublicKey:
    """A public key from PEM. Raises ValueError for anything else."""
    key = load_pem_public_key(content)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the key is not an Ed25519 key")  # noqa: TRY004 - the file is wrong, not a type
    return PublicKey(key)
