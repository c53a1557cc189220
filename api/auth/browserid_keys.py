"""BrowserID's own signature formats, on ``cryptography``; no JWT library knows them.

========= ============================= =========== ==================================
name      key                           digest      signature
========= ============================= =========== ==================================
``RS256`` RSA, 2048-bit ``n``           SHA-256     PKCS#1 v1.5, 256 bytes
``DS256`` DSA, 2048-bit p, 256-bit q    SHA-256     r then s, 32 bytes each
``DS128`` DSA, 1024-bit p, 160-bit q    SHA-1       r then s, 20 bytes each
========= ============================= =========== ==================================

A key says by its size which of these it is for, and the token's ``alg`` must say the same: the token chooses
nothing.  Keys travel as JSON: ``{"algorithm": "RS", "n", "e"}`` in decimal, ``{"algorithm": "DS", "p", "q", "g",
"y"}`` in hex.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_RSA_BITS: Final = 2048
_RSA_SIGNATURE_BYTES: Final = _RSA_BITS // 8
_RSA_EXPONENT_MAX: Final = 1 << 32
_DECIMAL: Final = re.compile(r"[0-9]{1,620}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F]{1,520}", re.ASCII)

_DSA_NAMES: Final = {(1024, 160): "DS128", (2048, 256): "DS256"}


class BadKeyError(ValueError):
    """The JSON is no BrowserID public key of a known size."""


class PublicKey(Protocol):
    """A key that verifies signatures of the one algorithm that it is for."""

    @property
    def algorithm(self) -> str:
        """``RS256``, ``DS256`` or ``DS128``."""
        ...

    def is_signature(self, signature: bytes, signed: bytes) -> bool:
        """Say whether ``signature`` is this key's over ``signed``."""
        ...


class RsaKey:
    """An RSA public key of 2048 bits."""

    algorithm: Final = "RS256"

    def __init__(self, n: int, e: int) -> None:
        if n.bit_length() != _RSA_BITS or not 3 <= e < _RSA_EXPONENT_MAX or e % 2 == 0:
            raise BadKeyError(f"an RSA key needs a {_RSA_BITS}-bit n and a small odd e")
        try:
            self._key = rsa.RSAPublicNumbers(e, n).public_key()
        except ValueError:
            raise BadKeyError("the numbers are no RSA key") from None

    def is_signature(self, signature: bytes, signed: bytes) -> bool:
        """Say whether it is one; leading zero bytes may be missing, as old signers leave them out."""
        if not 0 < len(signature) <= _RSA_SIGNATURE_BYTES:
            return False
        try:
            self._key.verify(
                signature.rjust(_RSA_SIGNATURE_BYTES, b"\0"), signed, padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return False
        return True


class DsaKey:
    """A DSA public key of one of the two sizes."""

    def __init__(self, *, p: int, q: int, g: int, y: int) -> None:
        name = _DSA_NAMES.get((p.bit_length(), q.bit_length()))
        if name is None:
            raise BadKeyError("a DSA key has 2048 and 256 bits, or 1024 and 160")
        if not (1 < g < p and 1 < y < p - 1 and pow(g, q, p) == 1 and pow(y, q, p) == 1):
            raise BadKeyError("the numbers are no DSA key")
        self.algorithm = name
        self._number_bytes = q.bit_length() // 8
        self._hash: hashes.HashAlgorithm = hashes.SHA256() if name == "DS256" else hashes.SHA1()  # noqa: S303
        try:
            self._key = dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, q, g)).public_key()
        except ValueError:
            raise BadKeyError("the numbers are no DSA key") from None

    def is_signature(self, signature: bytes, signed: bytes) -> bool:
        """Say whether it is one: r and s, each as wide as q."""
        if len(signature) != 2 * self._number_bytes:
            return False
        r = int.from_bytes(signature[: self._number_bytes], "big")
        s = int.from_bytes(signature[self._number_bytes :], "big")
        try:
            self._key.verify(encode_dss_signature(r, s), signed, self._hash)
        except InvalidSignature:
            return False
        return True


class _RsaText(msgspec.Struct, frozen=True, tag_field="algorithm", tag="RS"):
    n: str
    e: str


class _DsaText(msgspec.Struct, frozen=True, tag_field="algorithm", tag="DS"):
    p: str
    q: str
    g: str
    y: str


def parse_public_key(document: bytes | msgspec.Raw) -> PublicKey:
    """Read a public key from its JSON.

    Raises:
        BadKeyError: it is none, or of a size that no algorithm has.
    """
    try:
        text = msgspec.json.decode(document, type=_RsaText | _DsaText)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadKeyError("the JSON is no BrowserID public key") from None
    if isinstance(text, _RsaText):
        return RsaKey(_decimal(text.n), _decimal(text.e))
    return DsaKey(p=_hex(text.p), q=_hex(text.q), g=_hex(text.g), y=_hex(text.y))


def _decimal(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise BadKeyError("a number is not plain decimal")
    return int(text)


def _hex(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise BadKeyError("a number is not plain hex")
    return int(text, 16)
