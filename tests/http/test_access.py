"""Who may do what, over HTTP with real credentials: every call by every kind of caller on every kind of queue."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import pytest
import requests

from api.auth.links import Link, mint_link
from tests.support import browserid
from tests.support.browserid import AUDIENCE
from tests.support.configuration import configure
from tests.support.deployment import Api, Deployment, key_of
from tests.support.http_calls import claim, new_queue, post, refusal

USER: Final = "ann.lee+news@mail.example.org"
STRANGER: Final = "bob@mail.example.org"
ISSUER: Final = "mail.example.org"
SECRET: Final = b"a secret of thirty-two bytes, or more"
ALL: Final = ("read", "publish", "claim", "delete")

KINDS: Final[dict[str, dict[str, str]]] = {
    "own": {},
    "listed": {"principles": f"app:other,bid:{USER}"},
    "listed with its application": {"principles": f"app:queuey,bid:{USER}"},
    "public": {"type": "public"},
    "public and listed": {"type": "public", "principles": f"bid:{USER}"},
}
CALLERS: Final = ("queuey", "other", USER, STRANGER, "")
"""Applications and addresses; nobody in particular is empty."""


class Made(NamedTuple):
    """A queue with one message."""

    name: str
    message_id: str


Call = Callable[[Api, Made], requests.Response]

READS: Final[dict[str, Call]] = {
    "read": lambda api, made: api.get(made.name),
    "read by id": lambda api, made: api.get(f"{made.name}/{made.message_id}"),
}
CONSUMES: Final[dict[str, Call]] = {
    "groups": lambda api, made: api.get(f"{made.name}/groups"),
    "claim": lambda api, made: api.post(f"{made.name}/claims", json={"group": "g"}),
    "delete by id": lambda api, made: api.delete(f"{made.name}/{made.message_id}"),
}
OWNS: Final[dict[str, Call]] = {
    "list queues": lambda api, _: api.get(""),
    "create a queue": lambda api, _: api.post(""),
    "settings": lambda api, made: api.get(f"{made.name}/settings"),
    "seek": lambda api, made: api.put(f"{made.name}/groups/g", json={"position": "start"}),
    "redrive": lambda api, made: api.post(f"{made.name}/redrive", json={}),
    "overwrite by id": lambda api, made: api.put(f"{made.name}/{made.message_id}", data="x"),
    "purge": lambda api, made: api.post(f"{made.name}/purge"),
    "change": lambda api, made: api.put(made.name, data={"partitions": "2"}),
    "drop": lambda api, made: api.delete(made.name),
}
PUBLISH: Final[dict[str, Call]] = {"publish": lambda api, made: api.post(made.name, data="more")}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An application with users of its own and a secret for links."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "issuer.json").write_text(json.dumps(browserid.signer(ISSUER).public))
    (directory / "link-secret").write_bytes(SECRET)
    (directory / "link-secret").chmod(0o600)
    keys = f'issuer_keys = {{ "{ISSUER}" = "issuer.json" }}'
    users = f'[applications.queuey.browserid]\naudiences = ["{AUDIENCE}"]\n{keys}\n'
    made = Deployment(directory, guarantees={"queuey": "at_least_once", "other": "at_least_once"}, more=users)
    with configure(made, "applications.queuey", 'link_secrets = { s1 = "link-secret" }') as deployment:
        yield deployment


@pytest.fixture
def owner(guarded: Deployment) -> Iterator[Api]:
    """The application."""
    with guarded.api() as session:
        yield session


def backed(
    email: str = USER,
    *,
    certificate_changes: browserid.Json | None = None,
    assertion_changes: browserid.Json | None = None,
    issuer: str = ISSUER,
    algorithm: str | None = None,
) -> str:
    """Return an assertion of now, good unless it is changed."""
    now_ms = time.time_ns() // 1_000_000
    user = browserid.signer(email)
    life: browserid.Json = {"iat": now_ms - 1_000, "exp": now_ms + 3_600_000} | (certificate_changes or {})
    signer = browserid.signer(issuer)
    word = browserid.certificate(email, user, signer, issuer_name=issuer, algorithm=algorithm, more=life)
    claims: browserid.Json = {"exp": now_ms + 120_000, "nonce": time.monotonic_ns()} | (assertion_changes or {})
    return f"{word}~{browserid.assertion(user, more=claims)}"


def called_by(guarded: Deployment, caller: str) -> Api:
    """Return a client of the application ``queuey`` with somebody's credential, made anew: assertions count once."""
    url = f"{guarded.url}/v1/queuey"
    if "@" in caller:
        return Api(url, f"BrowserID {backed(caller)}")
    return Api(url, f"Application {key_of(caller)}" if caller else None)


def with_link(guarded: Deployment, **changes: object) -> Api:
    """Return somebody who has nothing but a link, which grants all that links can."""
    about: dict[str, object] = {"prefix": "", "operations": ALL} | changes
    if "queue" in changes:
        about.pop("prefix")
    link = Link(application="queuey", link_id="l1", expires_s=int(time.time()) + 600, **about)  # type: ignore[arg-type]
    return Api(f"{guarded.url}/v1/queuey", f"Link {mint_link(link, secret_name='s1', secret=SECRET)}")


def made_by(owner: Api, kind: str) -> Made:
    """Make a queue of a kind with one message."""
    queue = new_queue(owner, **KINDS[kind])
    return Made(queue, str(post(owner, queue)["key"]))


def allowed(kind: str, caller: str) -> dict[str, Call]:
    """Return what the rules let a caller do."""
    listed = KINDS[kind].get("principles")
    principal = f"bid:{caller}" if "@" in caller else f"app:{caller}"
    may_consume = principal in listed.split(",") if listed else caller == "queuey"
    may_read = may_consume or KINDS[kind].get("type") == "public"
    is_owner = caller == "queuey"
    return (
        (READS if may_read else {})
        | (PUBLISH if is_owner else {})
        | (CONSUMES if may_consume else {})
        | (OWNS if is_owner else {})
    )


@pytest.mark.parametrize(("kind", "caller"), list(itertools.product(KINDS, CALLERS)))
def test_everybody_may_do_what_the_rules_say_and_nothing_else(
    guarded: Deployment, owner: Api, kind: str, caller: str
) -> None:
    """What is denied is 403 ``access_denied``, and changes nothing."""
    made = made_by(owner, kind)
    may = allowed(kind, caller)
    for name, call in (READS | PUBLISH | CONSUMES | OWNS).items():
        with called_by(guarded, caller) as api:
            reply = call(api, made)
        if name in may:
            assert reply.status_code < 400, f"{name}: {reply.text}"
        else:
            assert reply.status_code == 403, f"{name}: {reply.text}"
            refusal(reply, 403, "access_denied")
    if "drop" not in may:
        assert owner.get(f"{made.name}/settings").json()["partitions"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_can_not_do_what_its_application_can_not(guarded: Deployment, owner: Api, kind: str) -> None:
    """Nor anything that no link grants, whatever it says of itself."""
    made = made_by(owner, kind)
    mays = allowed(kind, "queuey")
    for name, call in (READS | PUBLISH | CONSUMES).items():
        with with_link(guarded) as api:
            reply = call(api, made)
        assert (reply.status_code < 400) == (name in mays), f"{name}: {reply.text}"
    for call in OWNS.values():
        with with_link(guarded) as api:
            refusal(call(api, made), 403, "access_denied")


def test_who_waits_while_a_queue_closes_gets_nothing_that_comes_later(guarded: Deployment, owner: Api) -> None:
    """A long poll was let in while the queue was public; it is not any more when the message comes."""
    queue = new_queue(owner, type="public")
    with Api(f"{guarded.url}/v1/queuey", None) as anonymous, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(anonymous.get, f"{queue}?wait=20")
        time.sleep(0.5)  # for the poll to wait: one that came too late would be refused just as well
        assert owner.put(queue, data={"type": "user"}).status_code == 200
        post(owner, queue, "secret")
        refusal(waiting.result(timeout=30), 403, "access_denied")


def test_a_link_does_what_it_names_where_it_names_it(guarded: Deployment, owner: Api) -> None:
    """One operation at a time, on its queue, of its application."""
    groups = {"read": READS, "publish": PUBLISH, "claim": {"claim": CONSUMES["claim"]}}
    made, elsewhere = made_by(owner, "own"), made_by(owner, "own")
    for word, other in itertools.product(groups, groups):
        for call in groups[other].values():
            with with_link(guarded, queue=made.name, operations=(word,)) as api:
                assert (call(api, made).status_code < 400) == (word == other)
                refusal(call(api, elsewhere), 403, "access_denied")
    with with_link(guarded) as api:
        refusal(api.get(f"/v1/other/{made.name}"), 401, "scheme_not_enabled")


def test_an_assertion_counts_once(guarded: Deployment, owner: Api) -> None:
    """Sent again it is refused with a code of its own, whoever sends it."""
    queue = made_by(owner, "listed").name
    with Api(f"{guarded.url}/v1/queuey", f"BrowserID {backed()}") as api:
        assert api.get(queue).status_code == 200
        refusal(api.get(queue), 401, "browserid_replayed")


BENT: Final[dict[str, Callable[[], str]]] = {
    "browserid_expired": lambda: backed(assertion_changes={"exp": time.time_ns() // 1_000_000 - 600_000}),
    "browserid_certificate_expired": lambda: backed(
        certificate_changes={"exp": time.time_ns() // 1_000_000 - 600_000}
    ),
    "browserid_wrong_audience": lambda: backed(assertion_changes={"aud": "https://evil.example.org"}),
    "browserid_wrong_issuer": lambda: backed(issuer="evil.example.org"),
    "browserid_wrong_algorithm": lambda: backed(algorithm="none"),
    "browserid_stripped_chain": lambda: backed().rpartition("~")[2],
    "browserid_too_large": lambda: backed() + "A" * 8_192,
    "browserid_bad_signature": lambda: backed()[:-8] + "AAAAAAAA",
}


@pytest.mark.parametrize("code", BENT)
def test_a_bent_assertion_is_refused_with_a_code_of_its_own(guarded: Deployment, owner: Api, code: str) -> None:
    """401, on a public queue, too."""
    queue = made_by(owner, "public").name
    with Api(f"{guarded.url}/v1/queuey", f"BrowserID {BENT[code]()}") as api:
        refusal(api.get(queue), 401, code)


def test_a_foreign_application_works_on_a_queue_that_lists_it(guarded: Deployment, owner: Api) -> None:
    """With its own key under the owner's URL it reads, claims and deletes; the owner, not listed, only publishes."""
    made = made_by(owner, "listed")
    with called_by(guarded, "other") as other:
        assert [one["body"] for one in claim(other, made.name)] == ["Hello"]
        assert other.delete(f"{made.name}/{made.message_id}").status_code == 200
        assert other.get(made.name).json()["messages"] == []
    refusal(owner.get(made.name), 403, "access_denied")
    assert owner.post(made.name, data="more").status_code == 201
