"""The queue on PostgreSQL: a table a topic, read and deleted in batches, wake-ups by NOTIFY."""
