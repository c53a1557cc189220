"""Queuey from Python: one set of calls, sync (``Queuey``) and asyncio (``AsyncQueuey``), and a consumer loop."""

from queuey_client.aio import AsyncQueue, AsyncQueuey
from queuey_client.client import Queue, Queuey
from queuey_client.consumer import AsyncConsumer, Consumer, Delivery
from queuey_client.errors import OutcomeUnknownError, QueueyError, RefusedError
from queuey_client.values import Claim, Message, NewMessage, Page, Published, Settled

__all__ = [
    "AsyncConsumer",
    "AsyncQueue",
    "AsyncQueuey",
    "Claim",
    "Consumer",
    "Delivery",
    "Message",
    "NewMessage",
    "OutcomeUnknownError",
    "Page",
    "Published",
    "Queue",
    "Queuey",
    "QueueyError",
    "RefusedError",
    "Settled",
]
