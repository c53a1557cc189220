"""The store for deployments that outgrow one machine: Apache Cassandra 5, any number of storage nodes.

Which columns are written how (a column is written by one kind of write only; where a row sees both kinds, the
later one never precedes the former in time, and no condition ever looks at it):

=====================  ==============================================  ===========================================
table                  by conditional writes (compare-and-set)         by plain writes
=====================  ==============================================  ===========================================
queues                 all
queue_listing                                                          all, stamped with the row's version
messages_* statics     all (last, closed, next)
messages_* kind 1      all (keys of a fenced append)
messages_* kind 0      inserts of fenced and of keyed appends          inserts of plain appends; edits by id, always
                       (never a condition on them)                     stamped later than the row they read
buckets                                                                all (only ever added to)
delivery, groups       all                                             erased with their internal id, never reused
idempotency_keys       all                                             erased by their TTL
erasures, removed,                                                     all
revocations, members
schema_lock            all                                             created once
=====================  ==============================================  ===========================================
"""

from __future__ import annotations

from storage_node.store.cql.opening import open_cassandra_store
from storage_node.store.cql.store import CassandraStore

__all__ = ["CassandraStore", "open_cassandra_store"]
