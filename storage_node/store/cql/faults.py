"""What the driver raises, as store errors that keep *failed* and *unknown* apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cassandra import (
    AuthenticationFailed,
    RequestValidationException,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException, ConnectionShutdown
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import (
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
)
from cassandra.protocol import RequestValidationException as RefusedMessage

from storage_node.store.cql.statements import Kind
from storage_node.store.errors import StoreError, StoreFailedError, StoreOverloadedError, StoreUnknownError

_OVERLOADED: Final = (OverloadedErrorMessage, NoConnectionsAvailable, ConnectionBusy)
# some refusals reach us as the driver's exceptions, others as its messages of the same name
_REFUSED: Final = (Unavailable, IsBootstrappingErrorMessage, RequestValidationException, RefusedMessage)


def translate(error: BaseException, kind: Kind) -> StoreError:
    """Return the store error of a statement that the driver reports as failed.

    A read changes nothing, so it has failed.  A write has failed only if it was refused before it began; whatever
    else happened, it may have been done or may still be.  That includes error 0x1700 (others contended, the server
    does not know), for which the driver has no class of its own.
    """
    text = f"{type(error).__name__}: {error}"
    if _all_are(error, _OVERLOADED):
        return StoreOverloadedError(text)
    if not kind.changes or _all_are(error, _REFUSED) or _was_never_sent(error):
        return StoreFailedError(text)
    return StoreUnknownError(text)


def of_all_attempts(
    error: BaseException, tried: Sequence[object], earlier: Mapping[object, BaseException], *, last: object
) -> BaseException:
    """Return what the driver reports, with the attempts that it leaves out.

    It tells of the last attempt alone, at the host ``last``; an earlier one may have been lost on its way, or be
    under way still.  ``tried`` are the hosts that were sent to, ``earlier`` what some of them said.
    """
    if len(tried) < 2 and not isinstance(error, NoHostAvailable):
        return error
    errors = {host: ConnectionShutdown("sent, and not answered") for host in tried} | dict(earlier)
    if not isinstance(error, NoHostAvailable):
        errors[last] = error
    of_all: BaseException = NoHostAvailable(f"{type(error).__name__}: {error}", errors)
    return of_all


def reason_of(error: BaseException) -> str:
    """Return why there is no session, for a log: never with a password in it, which the driver does not repeat."""
    text = f"{type(error).__name__}: {error}"
    if _all_are(error, (AuthenticationFailed,)):
        return f"the hosts refuse the username and password: {text}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the hosts' certificate is not signed by the configured authority, or names another host: {text}"
    return text


def _all_are(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """The error is of these kinds, or sums up attempts that all ended so."""
    if isinstance(error, NoHostAvailable):
        return bool(error.errors) and all(isinstance(each, kinds) for each in error.errors.values())
    return isinstance(error, kinds)


def _was_never_sent(error: BaseException) -> bool:
    """Every host was known to be away, had no free connection, or refused it before it began."""
    if not isinstance(error, NoHostAvailable):
        return False
    return all(_is_before_sending(each) for each in error.errors.values())


def _is_before_sending(error: BaseException) -> bool:
    # a plain ConnectionException says that a host is marked down; its subclasses tell of connections lost in use
    unsent = (*_OVERLOADED, *_REFUSED)
    return type(error) is ConnectionException or isinstance(error, unsent)
