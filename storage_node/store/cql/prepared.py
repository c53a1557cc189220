"""A prepared statement, bound to values at a third of what the driver's own binding costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cassandra.cqltypes import BytesType
from cassandra.query import BoundStatement, PreparedStatement

from storage_node.store.cql.statements import Kind

_Serialize = Callable[[object, int], bytes]


class Prepared:
    """A statement of the file as a session knows it.

    The driver asks for each value of each row whether its column is encrypted by the client, which none is here, and
    makes a name for the question; with a hundred rows a batch that was a sixth of a node's time.
    """

    def __init__(self, statement: PreparedStatement, kind: Kind) -> None:
        self.statement: Final = statement
        self.kind: Final = kind
        self._version: int = statement.protocol_version
        self._serialize: tuple[_Serialize | None, ...] = tuple(
            None if column.type is BytesType else column.type.serialize for column in statement.column_metadata
        )

    def bind(self, values: Sequence[object]) -> BoundStatement:
        """Return the statement with all its values, ``None`` for a null.

        Raises:
            ValueError: more or fewer values than the statement has places.
            TypeError, struct.error: a value is not of its column's type.
        """
        version = self._version
        bound = BoundStatement(self.statement)
        bound.values = [
            value if serialize is None or value is None else serialize(value, version)
            for serialize, value in zip(self._serialize, values, strict=True)
        ]
        return bound
