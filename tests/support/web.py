"""A deployment in its web: an application with users, its own page, their issuer, and somebody else's page."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from api.auth.links import Link, LinkOperation, mint_link, new_link_id
from tests.support import oidc
from tests.support.configuration import configure
from tests.support.deployment import Deployment
from tests.support.service import ROOT
from tests.support.web_site import Site, serving

_SECRET: Final = b"thirty-two bytes of a secret, or more"
PAGES: Final = ROOT / "tests" / "browser" / "pages"


class Web(NamedTuple):
    """Four origins: their ports differ, and that of the page has another host, too."""

    service: Deployment
    page: Site
    issuer: Site
    stranger: Site


@contextlib.contextmanager
def running_web(directory: Path) -> Iterator[Web]:
    """Run the service and the three sites for one block; ``web`` allows only its own page."""
    with serving({}, host="localhost") as page, serving({}) as issuer, serving({}) as stranger:
        made = Deployment(directory, guarantees={"web": "at_least_once"}, more=_users(directory, issuer.origin))
        (directory / "link-secret").write_bytes(_SECRET)
        (directory / "link-secret").chmod(0o600)
        lines = (f'origins = ["{page.origin}"]', 'link_secrets = { s1 = "link-secret" }')
        configure(made, "applications.web", *lines)
        issuer.pages["/authorize"] = filled("issuer.html", email=oidc.EMAIL, token=user_token(issuer))
        for site in (page, stranger):
            words = {"service": made.url, "issuer": issuer.origin, "page": f"{site.origin}/"}
            site.pages["/"] = filled("reader.html", **words)
        with made as service:
            yield Web(service, page, issuer, stranger)


def user_token(issuer: Site) -> str:
    """Return what the issuer says of its one user, for an hour."""
    now_s = int(time.time())
    return oidc.id_token(oidc.claims(iss=issuer.origin, iat=now_s, exp=now_s + 3_600))


def link_to(queue: str, *operations: LinkOperation) -> str:
    """Return a link of the application ``web`` that lets its holder do this with a queue, for an hour."""
    link = Link(
        application="web",
        link_id=new_link_id(),
        operations=operations,
        queue=queue,
        expires_s=int(time.time()) + 3_600,
    )
    return mint_link(link, secret_name="s1", secret=_SECRET)


def filled(name: str, **values: str) -> str:
    """Return a page with its ``{{words}}`` filled in."""
    text = (PAGES / name).read_text()
    for word, value in values.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _users(directory: Path, issuer: str) -> str:
    (directory / "keys.json").write_bytes(oidc.key_set(oidc.public_jwk("k1")))
    lines = {"issuer": issuer, "audiences": [oidc.CLIENT], "jwks_file": "keys.json"}
    return "[[applications.web.oidc]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
