"""The state store and the leases on PostgreSQL: rows of MessagePack, changed by one pipelined transaction a batch."""
