-- Whose snapshot is the oldest, and how old it is.

-- name: oldest
-- Only snapshots of this database hold back the removal of its rows. VACUUM's own do not.
SELECT extract(epoch FROM clock_timestamp() - since)::float8, who FROM (
  SELECT xact_start AS since, format('process %%s, %%s', pid, coalesce(nullif(application_name, ''), usename)) AS who
  FROM pg_stat_activity
  WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker' AND query NOT ILIKE 'vacuum%%'
  UNION ALL
  SELECT prepared, format('prepared transaction %%s', gid) FROM pg_prepared_xacts WHERE database = current_database()) s
WHERE since IS NOT NULL ORDER BY since LIMIT 1
