"""PyBrowserID as an oracle, in both directions: what it makes we take, what we make it takes."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browserid import jwt as oracle_jwt
from browserid.errors import TrustError
from browserid.supportdoc import SupportDocumentManager
from browserid.tests import support as oracle_support
from browserid.tests import test_jwt as oracle_keys
from browserid.utils import unbundle_certs_and_assertion
from browserid.verifiers.local import LocalVerifier
from hypothesis import given, settings
from hypothesis import strategies as st

from api.auth.browserid_keys import PublicKey, parse_public_key
from api.auth.encoding import decode
from api.auth.errors import AuthError
from api.auth.issuers import Issuers
from tests.support.browserid import AUDIENCE, NOW_MS, backed_assertion, signer, verifier

EMAIL = "ann.lee+queuey@mail.example.org"
DOMAIN = "mail.example.org"
ALGORITHMS = ["RS256", "DS256", "DS128"]


class _Documents(SupportDocumentManager):  # type: ignore[misc]
    """The oracle's support documents, from our signers instead of the network."""

    def __init__(self, algorithm: str) -> None:
        super().__init__()
        self._algorithm = algorithm

    def fetch_support_document(self, hostname: str) -> dict[str, Any]:
        return {"public-key": signer(hostname, self._algorithm).public}


def _oracle(algorithm: str) -> Any:
    return LocalVerifier([AUDIENCE], trusted_secondaries=(), supportdocs=_Documents(algorithm))


def _oracle_pair(algorithm: str) -> tuple[dict[str, Any], Any]:
    """Return one of the oracle's own key pairs; its published DS128 one is too small, its DS128 group is not."""
    if algorithm == "DS128":
        public, private = oracle_support.get_keypair("oracle")
        return dict(public), private
    data = getattr(oracle_keys, f"{algorithm}_KEY_DATA")
    public = {name: str(value) for name, value in data.items() if name not in {"d", "x"}}
    public["algorithm"] = algorithm[:2]
    return public, getattr(oracle_jwt, f"{algorithm}Key")(data)


def _key(public: dict[str, Any]) -> PublicKey:
    return parse_public_key(msgspec.json.encode(public))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_oracle_takes_what_our_signer_makes(algorithm: str) -> None:
    """The signer of these tests speaks the real format."""
    found = _oracle(algorithm).verify(backed_assertion(EMAIL, algorithm=algorithm), now=NOW_MS)
    assert (found["email"], found["issuer"]) == (EMAIL, DOMAIN)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_oracle_makes_counts(algorithm: str) -> None:
    """Assertions made with the oracle's published keys verify here, to the same user."""
    pair = _oracle_pair(algorithm)
    text = oracle_support.make_assertion(
        EMAIL, AUDIENCE, issuer=DOMAIN, exp=NOW_MS + 60_000, email_keypair=pair, issuer_keypair=pair
    )
    issuers = Issuers({DOMAIN: _key(pair[0])})
    assert verifier(issuers=issuers).verify(text, now_ms=NOW_MS).email == EMAIL


@pytest.mark.parametrize("algorithm", ["RS64", "RS128"])
def test_the_small_keys_that_the_oracle_still_takes_do_not_count(algorithm: str) -> None:
    """RSA of 1,024 and 1,280 bits is known to the oracle and refused here."""
    text = backed_assertion(EMAIL, algorithm=algorithm)
    with pytest.raises(AuthError, match="browserid_wrong_algorithm"):
        verifier().verify(text, now_ms=NOW_MS)


def test_an_assertion_of_2012_is_still_read() -> None:
    """The user's signature in a real assertion that the oracle carries fits the key in its certificate."""
    spec = importlib.util.find_spec("browserid.tests.test_verifiers")
    assert spec is not None
    assert spec.origin is not None
    certificates, assertion = unbundle_certs_and_assertion(_constant(Path(spec.origin), "EXPIRED_ASSERTION"))
    payload = msgspec.json.decode(decode(certificates[0].split(".")[1]))
    key = parse_public_key(msgspec.json.encode(payload["public-key"]))
    signed, _, signature = assertion.rpartition(".")
    assert key.algorithm == msgspec.json.decode(decode(signed.split(".")[0]))["alg"]
    assert key.is_signature(decode(signature), signed.encode())
    assert not key.is_signature(decode(signature), signed.encode() + b"x")


@settings(deadline=None)
@given(st.sampled_from(ALGORITHMS), st.data())
def test_whatever_counts_here_counts_for_the_oracle(algorithm: str, data: st.DataObject) -> None:
    """Of any assertion with one character changed: if we name a user, the oracle names the same one."""
    text = backed_assertion(EMAIL, algorithm=algorithm)
    position = data.draw(st.integers(0, len(text) - 1))
    bent = text[:position] + data.draw(st.sampled_from("AbZ09-_.~=")) + text[position + 1 :]
    try:
        found = verifier(algorithm=algorithm).verify(bent, now_ms=NOW_MS).email
    except AuthError:
        return
    assert _verdict(algorithm, bent) == found


def _verdict(algorithm: str, text: str) -> str | None:
    try:
        return str(_oracle(algorithm).verify(text, now=NOW_MS)["email"])
    except (TrustError, ValueError):
        return None


def _constant(file: Path, name: str) -> str:
    """Return a text constant of a module that can't be imported here, blanks and line ends left out."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            value = node.value
            while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
                value = value.func.value
            return "".join(str(ast.literal_eval(value)).split())
    raise AssertionError(name)
