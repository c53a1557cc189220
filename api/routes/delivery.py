"""Delivery: claims, settlements, groups, redrive."""

from __future__ import annotations

from flask import Response

from api.responses.answers import done_answer, json_answer
from api.responses.shapes import RedriveAnswer
from api.responses.showing import claim_answer, group_list, receipt_answer, settle_answer
from api.routes.front import FrontEnd
from api.routes.incoming import read_object
from api.validation.delivery import parse_claiming, parse_redrive, parse_seeking, parse_settling
from common.protocol.operations import (
    Ack,
    AskReceipt,
    Claim,
    Claims,
    Done,
    Extend,
    Groups,
    ListGroups,
    Redrive,
    Redriven,
    Release,
    SeekGroup,
    Settlements,
)


def claim(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST .../claims``: settle what is in ``ack``, then take messages."""
    caller = front.queue_caller(application, queue)
    wanted = parse_claiming(read_object())
    operation = Claim(
        application=application,
        caller=caller,
        queue=queue,
        group=wanted.group,
        limit=wanted.limit,
        lease_ms=wanted.lease_ms,
        wait_ms=wanted.wait_ms,
        partitions=wanted.partitions,
        claim_id=wanted.claim_id,
        ack=wanted.ack,
    )
    return json_answer(claim_answer(front.ask(operation, Claims, wait_ms=wanted.wait_ms)))


def ack(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST .../acks``: settle."""
    caller = front.queue_caller(application, queue)
    wanted = parse_settling(read_object())
    operation = Ack(application=application, caller=caller, queue=queue, receipts=wanted.receipts)
    return json_answer(settle_answer(front.ask(operation, Settlements)))


def release(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST .../releases``: give back, now or later."""
    caller = front.queue_caller(application, queue)
    wanted = parse_settling(read_object())
    operation = Release(
        application=application, caller=caller, queue=queue, receipts=wanted.receipts, delay_ms=wanted.delay_ms
    )
    return json_answer(settle_answer(front.ask(operation, Settlements)))


def extend(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST .../extensions``: hold longer."""
    caller = front.queue_caller(application, queue)
    wanted = parse_settling(read_object())
    operation = Extend(
        application=application, caller=caller, queue=queue, receipts=wanted.receipts, lease_ms=wanted.lease_ms
    )
    return json_answer(settle_answer(front.ask(operation, Settlements)))


def ask_receipt(front: FrontEnd, application: str, queue: str, receipt: str) -> Response:
    """``GET .../acks/{receipt}``: did it count?"""
    caller = front.queue_caller(application, queue)
    operation = AskReceipt(application=application, caller=caller, queue=queue, receipt=receipt)
    return json_answer(receipt_answer(front.ask(operation, Settlements)))


def list_groups(front: FrontEnd, application: str, queue: str) -> Response:
    """``GET .../groups``: the progress of all consumer groups."""
    caller = front.queue_caller(application, queue)
    operation = ListGroups(application=application, caller=caller, queue=queue)
    return json_answer(group_list(front.ask(operation, Groups)))


def seek_group(front: FrontEnd, application: str, queue: str, group: str) -> Response:
    """``PUT .../groups/{group}``: rewind or skip."""
    caller = front.queue_caller(application, queue)
    wanted = parse_seeking(group, read_object())
    operation = SeekGroup(
        application=application,
        caller=caller,
        queue=queue,
        group=group,
        position=wanted.position,
        at_ticks=wanted.at_ticks,
    )
    front.ask(operation, Done)
    return done_answer()


def redrive(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST .../redrive``: dead letters go back where they came from."""
    caller = front.queue_caller(application, queue)
    operation = Redrive(application=application, caller=caller, queue=queue, limit=parse_redrive(read_object()))
    moved = front.ask(operation, Redriven)
    return json_answer(RedriveAnswer(redriven=moved.redriven, remaining=moved.remaining))
