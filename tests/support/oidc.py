"""A small OIDC issuer: keys that rotate, key sets, and ID tokens, good or bent on purpose."""

from __future__ import annotations

import functools
import json
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.browserid import NOW_MS, Json

ISSUER: Final = "https://login.example.org"
CLIENT: Final = "queuey-web"
EMAIL: Final = "ann.lee+queuey@mail.example.org"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def private_key(key_id: str, algorithm: str) -> PrivateKey:
    """Return the one key of that name in this test run."""
    if algorithm.startswith("ES"):
        return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if key_id == "small" else 2048)


def public_jwk(key_id: str, algorithm: str = "RS256", *, more: Json | None = None) -> Json:
    """Return a key as a key set lists it; ``None`` values in ``more`` take members away."""
    public = private_key(key_id, algorithm).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        text = RSAAlgorithm.to_jwk(public)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        text = ECAlgorithm.to_jwk(public)
    else:
        text = OKPAlgorithm.to_jwk(public)
    members: Json = {**json.loads(text), "kid": key_id, "use": "sig", "alg": algorithm} | (more or {})
    members.pop("key_ops", None)
    return {name: value for name, value in members.items() if value is not None}


def key_set(*keys: Json) -> bytes:
    """Return a key set's JSON."""
    return json.dumps({"keys": keys}).encode()


def claims(**changes: object) -> Json:
    """Return good claims; ``None`` takes one away."""
    good: Json = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "u-1",
        "exp": NOW_MS // 1000 + 600,
        "iat": NOW_MS // 1000 - 5,
        "email": EMAIL,
        "email_verified": True,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def id_token(
    payload: Json | None = None, *, key_id: str = "k1", algorithm: str = "RS256", headers: Json | None = None
) -> str:
    """Return a signed ID token; ``headers`` may replace ``kid``."""
    return jwt.encode(
        payload if payload is not None else claims(),
        private_key(key_id, algorithm),
        algorithm=algorithm,
        headers={"kid": key_id} if headers is None else dict(headers),
    )
