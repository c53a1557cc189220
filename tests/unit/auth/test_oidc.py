"""OIDC ID tokens: what counts, and each way in which one does not."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from api.auth.encoding import encode
from api.auth.errors import AuthCode, AuthError
from api.auth.key_sets import KeySet, KeySetUnavailableError
from api.auth.oidc import OidcVerifier, VerifiedIdToken
from common.identity_settings import OidcIssuerSettings
from common.protocol.failures import Retry
from tests.support.browserid import NOW_MS, Json
from tests.support.oidc import CLIENT, EMAIL, ISSUER, claims, id_token, key_set, private_key, public_jwk

NOW_S = NOW_MS // 1000
OTHER_ISSUER = "https://accounts.example.net"


class Source:
    """A key set in memory; counts how often it is read."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.reads = 0

    def version(self) -> object:
        return None

    def read(self) -> bytes:
        self.reads += 1
        if self.content is None:
            raise KeySetUnavailableError("down")
        return self.content


def _verifier(*jwks: Json, settings: OidcIssuerSettings | None = None) -> OidcVerifier:
    keys = jwks or (public_jwk("k1"), public_jwk("e1", "ES256"), public_jwk("d1", "EdDSA"))
    settings = settings or OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT, "queuey-mobile"), jwks_file="x")
    other = OidcIssuerSettings(issuer=OTHER_ISSUER, audiences=("other-client",), jwks_file="x")
    pairs = [(settings, KeySet(Source(key_set(*keys)))), (other, KeySet(Source(key_set(public_jwk("o1")))))]
    return OidcVerifier(pairs)


def _verify(token: str, *, verifier: OidcVerifier | None = None, now_ms: int = NOW_MS) -> VerifiedIdToken:
    return (verifier or _verifier()).verify(token, now_ms=now_ms)


def _refusal(token: str, *, verifier: OidcVerifier | None = None, now_ms: int = NOW_MS) -> AuthCode:
    with pytest.raises(AuthError) as caught:
        _verify(token, verifier=verifier, now_ms=now_ms)
    assert caught.value.field == "InvalidToken"
    assert caught.value.retry is Retry.NO
    return caught.value.code


@pytest.mark.parametrize(("key_id", "algorithm"), [("k1", "RS256"), ("e1", "ES256"), ("d1", "EdDSA")])
def test_a_good_token_names_its_user(key_id: str, algorithm: str) -> None:
    """The verified address, the issuer, and the end in milliseconds."""
    found = _verify(id_token(key_id=key_id, algorithm=algorithm))
    assert found == VerifiedIdToken(EMAIL, ISSUER, (NOW_S + 600) * 1000)


def test_several_issuers_count_each_with_its_own_clients_and_keys() -> None:
    """The token's ``iss`` picks the settings; nothing is shared between issuers."""
    other = claims(iss=OTHER_ISSUER, aud="other-client")
    assert _verify(id_token(other, key_id="o1")).issuer == OTHER_ISSUER
    assert _refusal(id_token(other, key_id="k1")) is AuthCode.OIDC_UNKNOWN_KEY
    assert _refusal(id_token(claims(iss=OTHER_ISSUER), key_id="o1")) is AuthCode.OIDC_WRONG_AUDIENCE


def test_the_domain_of_the_address_is_lower_cased() -> None:
    """The same principal as from BrowserID."""
    assert _verify(id_token(claims(email="Ann@Mail.Example.ORG"))).email == "Ann@mail.example.org"


def test_a_token_without_a_key_id_is_verified_by_the_only_key_of_its_algorithm() -> None:
    """Where two keys could be meant, none is tried."""
    token = id_token(headers={})
    assert _verify(token).email == EMAIL
    assert _refusal(token, verifier=_verifier(public_jwk("k1"), public_jwk("k2"))) is AuthCode.OIDC_UNKNOWN_KEY


def test_a_key_without_an_algorithm_serves_those_of_its_type() -> None:
    """An RSA key without ``alg`` verifies what the settings allow of RSA."""
    settings = OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_file="x", algorithms=("RS256", "PS256"))
    verifier = _verifier(public_jwk("k1", more={"alg": None}), settings=settings)
    token = jwt.encode(claims(), private_key("k1", "RS256"), algorithm="PS256", headers={"kid": "k1"})
    assert _verify(token, verifier=verifier).email == EMAIL
    assert _verify(id_token(), verifier=verifier).email == EMAIL


# --- shape ------------------------------------------------------------------------------------------------


def test_an_oversized_token_is_refused() -> None:
    """Nothing is decoded of more than 8,192 characters."""
    assert _refusal(id_token(claims(padding="x" * 8_192))) is AuthCode.OIDC_TOO_LARGE


def _bare(header: Json, payload: Json, signature: bytes = b"x") -> str:
    return ".".join(encode(part) for part in (json.dumps(header).encode(), json.dumps(payload).encode(), signature))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        _bare({}, claims()),
        _bare({"alg": 7}, claims()),
        _bare({"alg": "RS256", "kid": 7}, claims()),
        _bare({"alg": "RS256"}, {"iss": [ISSUER]}),
        _bare({"alg": "RS256"}, {}),
        id_token() + "=",
        id_token(claims(exp="soon")),
        id_token(claims(exp=None)),
        id_token(claims(iat=None)),
        id_token(claims(sub=None)),
        id_token(claims(aud=None)),
        id_token(claims(aud=[])),
        id_token(claims(nbf="x")),
        id_token(claims(exp=-1)),
        id_token(headers={"kid": "k1", "crit": ["b64"], "b64": False}),
    ],
    ids=range(20),
)
def test_what_is_no_id_token_is_refused(token: str) -> None:
    """Other shapes, missing or mistyped members, and extensions that must be understood."""
    assert _refusal(token) is AuthCode.OIDC_MALFORMED


@pytest.mark.parametrize("issuer", ["https://evil.org", ISSUER + "/", ISSUER.upper(), "login.example.org", ""])
def test_a_token_of_another_issuer_is_refused(issuer: str) -> None:
    """``iss`` is compared exactly."""
    assert _refusal(id_token(claims(iss=issuer))) is AuthCode.OIDC_WRONG_ISSUER


# --- algorithm, key, signature ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS512", "ES384", ""])
def test_an_algorithm_that_is_not_pinned_is_refused(algorithm: str) -> None:
    """Before a key is looked for."""
    assert _refusal(_bare({"alg": algorithm, "kid": "k1"}, claims())) is AuthCode.OIDC_WRONG_ALGORITHM


def test_a_public_key_is_no_shared_secret() -> None:
    """The classic confusion: HMAC under the issuer's public key, announced as such or hidden."""
    secret = base64.b64encode(key_set(public_jwk("k1")))
    token = jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "k1"})
    assert _refusal(token) is AuthCode.OIDC_WRONG_ALGORITHM
    hidden = _bare({"alg": "RS256", "kid": "k1"}, claims())
    assert _refusal(hidden) is AuthCode.OIDC_BAD_SIGNATURE


def test_a_key_verifies_only_its_own_algorithm() -> None:
    """A pinned algorithm does not reach a key of another."""
    assert _refusal(_bare({"alg": "ES256", "kid": "k1"}, claims())) is AuthCode.OIDC_UNKNOWN_KEY


def test_an_unknown_key_is_refused() -> None:
    """A key id that the issuer does not list verifies nothing."""
    assert _refusal(id_token(key_id="k9")) is AuthCode.OIDC_UNKNOWN_KEY


@pytest.mark.parametrize(
    "key",
    [
        public_jwk("small"),
        public_jwk("k1", more={"use": "enc"}),
        public_jwk("k1", more={"kty": "oct", "k": "c2VjcmV0"}),
        public_jwk("k1", more={"n": "AA"}),
        public_jwk("k1", more={"n": None}),
        public_jwk("k1", more={"alg": "RSA-OAEP"}),
        public_jwk("k1", more={"alg": "HS256"}),
        public_jwk("k1", more={"kid": 7}),
        {},
    ],
    ids=range(9),
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_key_that_is_not_fit_is_left_out(key: Json) -> None:
    """Small, symmetric, broken, or meant for encryption: it does not count, and harms no other key."""
    key_id = str(key.get("kid", "k1"))
    verifier = _verifier(key, public_jwk("e1", "ES256"))
    assert _refusal(id_token(key_id=key_id), verifier=verifier) is AuthCode.OIDC_UNKNOWN_KEY
    assert _verify(id_token(key_id="e1", algorithm="ES256"), verifier=verifier).email == EMAIL


def test_a_token_that_the_key_did_not_sign_is_refused() -> None:
    """Another key's signature under this key's name."""
    assert _refusal(id_token(key_id="k2", headers={"kid": "k1"})) is AuthCode.OIDC_BAD_SIGNATURE


def test_the_payload_is_what_was_signed() -> None:
    """A signature does not carry over to another payload."""
    header, _, signature = id_token().split(".")
    payload = encode(json.dumps(claims(email="boss@mail.example.org")).encode())
    assert _refusal(f"{header}.{payload}.{signature}") is AuthCode.OIDC_BAD_SIGNATURE


# --- audience, time, address ------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", ["another-client", ["another-client"], [CLIENT + "2"], CLIENT.upper()])
def test_a_token_for_another_client_is_refused(audience: object) -> None:
    """``aud`` must hold one of our client ids."""
    assert _refusal(id_token(claims(aud=audience))) is AuthCode.OIDC_WRONG_AUDIENCE


def test_a_token_for_several_clients_says_which_it_was_made_for() -> None:
    """``azp`` must be one of ours then, and wherever it is given."""
    shared = ["another-client", CLIENT]
    assert _refusal(id_token(claims(aud=shared))) is AuthCode.OIDC_WRONG_AUDIENCE
    assert _refusal(id_token(claims(aud=shared, azp="another-client"))) is AuthCode.OIDC_WRONG_AUDIENCE
    assert _refusal(id_token(claims(azp="another-client"))) is AuthCode.OIDC_WRONG_AUDIENCE
    assert _verify(id_token(claims(aud=shared, azp=CLIENT))).email == EMAIL
    assert _verify(id_token(claims(aud=[CLIENT]))).email == EMAIL


def test_a_token_counts_until_it_ends_and_for_the_clock_skew_after() -> None:
    """The time is the one passed in, not the machine's."""
    token = id_token(claims(exp=NOW_S + 10))
    assert _verify(token, now_ms=(NOW_S + 70) * 1000 - 1).email == EMAIL
    assert _refusal(token, now_ms=(NOW_S + 70) * 1000) is AuthCode.OIDC_EXPIRED


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_that_begins_later_is_refused(name: str) -> None:
    """By more than the clock skew."""
    assert _verify(id_token(claims(**{name: NOW_S + 60}))).email == EMAIL
    assert _refusal(id_token(claims(**{name: NOW_S + 61}))) is AuthCode.OIDC_NOT_YET_VALID


@pytest.mark.parametrize("changes", [{"email_verified": False}, {"email_verified": None}, {"email": None}])
def test_an_address_that_the_issuer_did_not_verify_names_nobody(changes: Json) -> None:
    """Anybody may write any address into an account."""
    assert _refusal(id_token(claims(**changes))) is AuthCode.OIDC_EMAIL_NOT_VERIFIED


def test_some_issuers_write_true_as_a_text() -> None:
    """``"true"`` is true; every other text is not."""
    assert _verify(id_token(claims(email_verified="true"))).email == EMAIL
    for text in ("false", "True", "1", ""):
        assert _refusal(id_token(claims(email_verified=text))) is AuthCode.OIDC_EMAIL_NOT_VERIFIED


@pytest.mark.parametrize("email", ["ann", "ann@localhost", "änn@mail.example.org", "ann@mail.example.org,x@y.org"])
def test_what_is_no_plain_address_is_refused(email: str) -> None:
    """An address that ``principles`` could not list names nobody."""
    assert _refusal(id_token(claims(email=email))) is AuthCode.OIDC_BAD_EMAIL


def test_an_issuer_without_keys_is_unavailable() -> None:
    """Worth another try later."""
    settings = OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_file="x")
    verifier = OidcVerifier([(settings, KeySet(Source(None)))])
    with pytest.raises(AuthError) as caught:
        verifier.verify(id_token(), now_ms=NOW_MS)
    assert caught.value.code is AuthCode.OIDC_ISSUER_UNAVAILABLE
    assert caught.value.retry is Retry.LATER
    assert caught.value.retry_after_ms > 0


def test_an_error_shows_nothing_of_the_token() -> None:
    """Refusals are constant texts."""
    token = id_token(key_id="k2", headers={"kid": "k1"})
    with pytest.raises(AuthError) as caught:
        _verify(token)
    assert not any(part in str(caught.value) + repr(caught.value) for part in [*token.split("."), EMAIL, "k1"])
