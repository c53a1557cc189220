"""Application keys, the three defects of 0.8 among them."""

from __future__ import annotations

import hashlib

import pytest

from api.auth.credentials import parse_authorization
from api.auth.errors import AuthCode, AuthError
from api.auth.keys import KeyRing, is_key, key_digest
from common.protocol.failures import Retry


def _ring(**keys: str | tuple[str, ...]) -> KeyRing:
    listed = {name: (value,) if isinstance(value, str) else value for name, value in keys.items()}
    return KeyRing({name: tuple(map(key_digest, values)) for name, values in listed.items()})


def _principals(ring: KeyRing, header: str) -> tuple[str, ...]:
    (credential,) = parse_authorization(header)
    return ring.principals_of(credential)


def test_a_key_names_its_application() -> None:
    """The principal of a key is ``app:`` and the application's name."""
    assert _principals(_ring(web="sesame"), "Application sesame") == ("app:web",)


def test_a_single_key_is_a_whole_key() -> None:
    """0.8 took each character of a one-line key for a key and refused the key itself."""
    ring = _ring(web="f25bfb8fe200475c8a0532a9cbe7651e")
    assert _principals(ring, "Application f25bfb8fe200475c8a0532a9cbe7651e") == ("app:web",)
    for character in "f25b":
        with pytest.raises(AuthError):
            _principals(ring, f"Application {character}")


@pytest.mark.parametrize("letter", list("AplicatonAPPLICATION"))
def test_a_key_may_begin_and_end_with_any_letter_of_its_scheme(letter: str) -> None:
    """0.8 stripped the letters of the word "Application" off both ends of the key."""
    key = f"{letter}53d{letter}"
    assert _principals(_ring(web=key), f"Application {key}") == ("app:web",)


def test_the_word_application_is_itself_a_key() -> None:
    """Nothing but the one scheme word in front is taken off."""
    assert _principals(_ring(web="Application"), "Application Application") == ("app:web",)


@pytest.mark.parametrize("key", ["0", "12345678901234567890", "007", "1e5"])
def test_a_key_may_consist_of_digits_only(key: str) -> None:
    """0.8 turned such a key into a number, which stopped the server or never matched."""
    assert _principals(_ring(web=key), f"Application {key}") == ("app:web",)


def test_several_keys_of_an_application_are_live_at_once() -> None:
    """Keys are rotated by adding one, switching the clients, and taking the other away."""
    ring = _ring(web=("old", "new"), other="third")
    assert _principals(ring, "Application old") == _principals(ring, "Application new") == ("app:web",)
    assert _principals(ring, "Application third") == ("app:other",)


def test_a_key_of_two_applications_names_both() -> None:
    """One digest under two names is no loss of either."""
    assert _principals(_ring(one="shared", two="shared"), "Application shared") == ("app:one", "app:two")


@pytest.mark.parametrize("key", ["a;b", "a;", ";;a", "a;Applicationx;b", "a; b"[:2] + "~"])
def test_a_key_may_hold_semicolons(key: str) -> None:
    """Any visible ASCII is a key, the separator of credentials included."""
    assert _principals(_ring(web=key), f"Application {key}") == ("app:web",)


@pytest.mark.parametrize("header", ["Application wrong", "Application ", "Application sesame2", "Application Sesame"])
def test_an_unknown_key_is_refused(header: str) -> None:
    """The code and the name of the field are those of the contract."""
    with pytest.raises(AuthError) as caught:
        _principals(_ring(web="sesame"), header)
    assert caught.value.code is AuthCode.INVALID_APPLICATION_KEY
    assert caught.value.code.value == "invalid_application_key"
    assert caught.value.field == "InvalidApplicationKey"
    assert caught.value.retry is Retry.NO


def test_a_refused_key_is_in_no_text() -> None:
    """Neither the error nor any ``repr`` shows a key or what became of it."""
    (credential,) = parse_authorization("Application s3cr3t-key;tail-s3cr3t")
    ring = _ring(web="another")
    with pytest.raises(AuthError) as caught:
        ring.principals_of(credential)
    assert not any("s3cr3t" in text for text in (str(caught.value), repr(caught.value), repr(credential), repr(ring)))


def test_a_digest_is_the_sha256_of_the_keys_bytes() -> None:
    """The configuration holds lower-case hex SHA-256."""
    assert key_digest("sesame") == hashlib.sha256(b"sesame").hexdigest()


@pytest.mark.parametrize("key", ["", "a b", "a\n", "käse", "\x7f", "x" * 201])
def test_what_is_no_visible_ascii_is_no_key(key: str) -> None:
    """A key has 1 to 200 visible ASCII characters."""
    assert not is_key(key)
    with pytest.raises(ValueError, match="1 to 200 visible ASCII"):
        key_digest(key)


def test_the_longest_key_works() -> None:
    """200 characters are a key, also with semicolons in it."""
    key = "x;" * 100
    assert _principals(_ring(web=key), f"Application {key}") == ("app:web",)


@pytest.mark.parametrize("digest", ["", "0" * 63, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_bad_digest_is_refused(digest: str) -> None:
    """Only 64 lower-case hex digits are a digest."""
    with pytest.raises(ValueError, match="'web'"):
        KeyRing({"web": (digest,)})
