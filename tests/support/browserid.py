"""A small BrowserID signer: identity providers, users and the assertions they make, good or bent on purpose."""

from __future__ import annotations

import functools
import json
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from api.auth.browserid import BrowserIdVerifier
from api.auth.browserid_keys import parse_public_key
from api.auth.encoding import encode
from api.auth.issuers import Issuers
from common.identity_settings import BrowserIdSettings

Json = dict[str, object]

NOW_MS: Final = 1_800_000_000_000
AUDIENCE: Final = "https://queue.example.org"


class Signer(Protocol):
    """A private key that signs as BrowserID wants it."""

    algorithm: str
    public: Json

    def sign(self, signed: bytes) -> bytes:
        """Return the signature."""
        ...


class RsaSigner:
    """RSA; 2048 bits are RS256, fewer are what old libraries called RS64 and RS128."""

    def __init__(self, bits: int = 2048, algorithm: str = "RS256") -> None:
        self.algorithm = algorithm
        self._key = rsa.generate_private_key(65537, bits)
        numbers = self._key.public_key().public_numbers()
        self.public: Json = {"algorithm": "RS", "n": str(numbers.n), "e": str(numbers.e)}

    def sign(self, signed: bytes) -> bytes:
        """Return a PKCS#1 v1.5 signature over SHA-256."""
        return self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


class DsaSigner:
    """DSA with p and q of (2048, 256) bits for DS256, (1024, 160) for DS128."""

    def __init__(self, algorithm: str = "DS256") -> None:
        self.algorithm = algorithm
        self._hash = hashes.SHA256() if algorithm == "DS256" else hashes.SHA1()
        self._number_bytes = 32 if algorithm == "DS256" else 20
        self._key = (
            dsa.generate_private_key(2048) if algorithm == "DS256" else _parameters_ds128().generate_private_key()
        )
        numbers = self._key.public_key().public_numbers()
        parameters = numbers.parameter_numbers
        self.public: Json = {
            "algorithm": "DS",
            "p": f"{parameters.p:x}",
            "q": f"{parameters.q:x}",
            "g": f"{parameters.g:x}",
            "y": f"{numbers.y:x}",
        }

    def sign(self, signed: bytes) -> bytes:
        """Return r and s, each as wide as q."""
        r, s = decode_dss_signature(self._key.sign(signed, self._hash))
        return r.to_bytes(self._number_bytes, "big") + s.to_bytes(self._number_bytes, "big")


def _parameters_ds128() -> dsa.DSAParameters:
    from browserid.tests.support import DUMMY_G, DUMMY_P, DUMMY_Q  # published 1024/160 group

    return dsa.DSAParameterNumbers(DUMMY_P, DUMMY_Q, DUMMY_G).parameters()


def signer(name: str, algorithm: str = "RS256") -> Signer:
    """Return the one signer of that name in this test run; making keys is slow."""
    return _signer(name, algorithm)


@functools.cache
def _signer(name: str, algorithm: str) -> Signer:
    del name
    if algorithm.startswith("RS"):
        return RsaSigner({"RS64": 1024, "RS128": 1280}.get(algorithm, 2048), algorithm)
    return DsaSigner(algorithm)


def signed_token(payload: Json, key: Signer, *, algorithm: str | None = None) -> str:
    """Return ``header.payload.signature``; ``algorithm`` lets the header lie."""
    header = encode(json.dumps({"alg": algorithm or key.algorithm}).encode())
    signed = f"{header}.{encode(json.dumps(payload).encode())}"
    return f"{signed}.{encode(key.sign(signed.encode()))}"


def certificate(
    email: str,
    user: Signer,
    issuer: Signer,
    *,
    issuer_name: str,
    expires_ms: int = NOW_MS + 3_600_000,
    algorithm: str | None = None,
    more: Json | None = None,
) -> str:
    """Return an issuer's word that a key belongs to an address."""
    payload: Json = {
        "iss": issuer_name,
        "exp": expires_ms,
        "iat": NOW_MS - 1_000,
        "principal": {"email": email},
        "public-key": user.public,
    }
    return signed_token(payload | (more or {}), issuer, algorithm=algorithm)


def assertion(
    user: Signer,
    *,
    audience: str = AUDIENCE,
    expires_ms: int = NOW_MS + 120_000,
    algorithm: str | None = None,
    more: Json | None = None,
) -> str:
    """Return a user's word that they talk to an audience."""
    payload: Json = {"exp": expires_ms, "aud": audience}
    return signed_token(payload | (more or {}), user, algorithm=algorithm)


def backed_assertion(
    email: str = "ann.lee+queuey@mail.example.org",
    *,
    issuer_name: str | None = None,
    algorithm: str = "RS256",
    audience: str = AUDIENCE,
    expires_ms: int = NOW_MS + 120_000,
) -> str:
    """Return a whole good assertion; the issuer is the address's own domain unless told otherwise."""
    name = issuer_name or email.rpartition("@")[2].lower()
    user, issuer = signer(email, algorithm), signer(name, algorithm)
    return "~".join(
        (
            certificate(email, user, issuer, issuer_name=name),
            assertion(user, audience=audience, expires_ms=expires_ms),
        )
    )


def issuers_of(*names: str, algorithm: str = "RS256") -> Issuers:
    """Return issuers whose keys are configured."""
    return Issuers({name: parse_public_key(json.dumps(signer(name, algorithm).public).encode()) for name in names})


def verifier(
    settings: BrowserIdSettings | None = None, issuers: Issuers | None = None, *, algorithm: str = "RS256"
) -> BrowserIdVerifier:
    """Return a verifier for ``AUDIENCE`` that knows the issuer ``mail.example.org``, unless told otherwise."""
    return BrowserIdVerifier(
        settings or BrowserIdSettings(audiences=(AUDIENCE,), algorithms=("RS256", "DS256", "DS128")),
        issuers or issuers_of("mail.example.org", algorithm=algorithm),
    )
