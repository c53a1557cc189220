"""Capability links: revoke one, or all below an epoch."""

from __future__ import annotations

from flask import Response

from api.responses.answers import done_answer
from api.routes.front import FrontEnd
from api.routes.incoming import read_object
from api.validation.links import parse_revocation
from common.clock import ticks_to_unix_ms
from common.protocol.operations import Done, RevokeLinks


def revoke_links(front: FrontEnd, application: str) -> Response:
    """``POST /v1/{application}/_links/revocations``."""
    caller = front.caller(application)
    revocation = parse_revocation(read_object(), ticks_to_unix_ms(front.clock.now_ticks()))
    operation = RevokeLinks(
        application=application,
        caller=caller,
        link_id=revocation.link_id,
        epoch=revocation.epoch,
        expires_ms=revocation.expires_ms,
    )
    front.ask(operation, Done)
    return done_answer()
