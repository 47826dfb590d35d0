-- Statements of the queue. Every batch is picked by ctid = ANY(ARRAY(...)): a join with a CTE turns quadratic when the
-- statistics say "empty", and IN (subquery) can delete more than its limit.

-- name: layout
-- Fix the number of partitions when nobody has yet; return what is fixed.
WITH made AS (INSERT INTO tq.layout (partitions, hash) VALUES (%(partitions)s, 'crc32') ON CONFLICT DO NOTHING
  RETURNING partitions, hash)
SELECT partitions, hash FROM made UNION ALL SELECT partitions, hash FROM tq.layout LIMIT 1

-- name: send
-- Append messages to a KEYED topic, in order.
INSERT INTO {table} (part, key, level, body)
SELECT * FROM unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s)

-- name: send_numbered
-- Append messages to a KEYED topic, in order; return their numbers.
INSERT INTO {table} (part, key, level, body)
SELECT * FROM unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s) RETURNING id

-- name: send_carried
-- Append messages to a KEYED topic, in order, and send them with the signal that tells of them (see `arrivals`).
WITH sent AS (INSERT INTO {table} (part, key, level, body)
  SELECT * FROM unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s) RETURNING part, id, key, level, body)
SELECT pg_notify(%(channel)s, %(payload)s || string_agg(
  concat_ws(E'\x1f', part, id, key, level, encode(body, 'base64')), E'\x1e' ORDER BY id)) FROM sent

-- name: send_told
-- Append messages to a KEYED topic, in order, and tell of them.
WITH sent AS (INSERT INTO {table} (part, key, level, body)
  SELECT * FROM unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s) RETURNING 1)
SELECT pg_notify(%(channel)s, %(payload)s) WHERE (SELECT count(*) FROM sent) > 0

-- name: announce
-- Append messages to a BROADCAST topic, in order.
INSERT INTO {table} (level, body) SELECT * FROM unnest(%(levels)s, %(bodies)s)

-- name: send_jobs
-- Append jobs, in order.
INSERT INTO tq.worker_job (lane, rank, owner, seq, level, body)
SELECT * FROM unnest(%(lanes)s, %(ranks)s, %(owners)s, %(seqs)s, %(levels)s, %(bodies)s)

-- name: send_jobs_carried
-- Append jobs, in order, and send them with the signal that tells of them.
WITH sent AS (INSERT INTO tq.worker_job (lane, rank, owner, seq, level, body)
  SELECT * FROM unnest(%(lanes)s, %(ranks)s, %(owners)s, %(seqs)s, %(levels)s, %(bodies)s)
  RETURNING lane, id, rank, level, body)
SELECT pg_notify(%(channel)s, %(payload)s || string_agg(
  concat_ws(E'\x1f', lane, id, rank, level, encode(body, 'base64')), E'\x1e' ORDER BY id)) FROM sent

-- name: read
-- The oldest messages of each partition, in order, until their bodies exceed a size.
SELECT part, id, key, level, body FROM (
  SELECT m.*, sum(octet_length(m.body)) OVER (ORDER BY m.id ROWS UNBOUNDED PRECEDING) - octet_length(m.body) AS before
  FROM unnest(%(parts)s) AS o (part) CROSS JOIN LATERAL (
    SELECT part, id, key, level, body FROM {table} e WHERE e.part = o.part ORDER BY e.id LIMIT %(count)s) m) r
WHERE before < %(size)s ORDER BY id

-- name: acknowledge
-- Delete messages; those that are gone already do not matter.
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(parts)s, %(ids)s) AS a (part, id)
  CROSS JOIN LATERAL (SELECT e.ctid FROM {table} e WHERE e.part = a.part AND e.id = a.id LIMIT 1) m))

-- name: acknowledge_all
-- Delete messages, each of which must be there.
WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(parts)s, %(ids)s) AS a (part, id)
  CROSS JOIN LATERAL (SELECT e.ctid FROM {table} e WHERE e.part = a.part AND e.id = a.id LIMIT 1) m)) RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM gone), %(count)s, 'TQ002', 'messages are there')

-- name: fence
-- Hold the leases for the rest of the transaction; a lost one ends it.
SELECT tq.expect((SELECT count(*) FROM unnest(%(services)s, %(parts)s, %(tokens)s) AS m (service, part, token)
  CROSS JOIN LATERAL (SELECT 1 FROM tq.lease l
    WHERE l.service = m.service AND l.part = m.part AND l.token = m.token AND l.owner IS NOT NULL FOR SHARE) x),
  %(count)s, 'TQ001', 'leases are held')

-- name: claim
-- Take jobs of one lane.
DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM tq.worker_job WHERE lane = %(lane)s AND level <= %(level)s ORDER BY rank, id LIMIT %(count)s
  FOR UPDATE SKIP LOCKED))
RETURNING rank, id, owner, seq, level, body, pg_current_xact_id()::text

-- name: claim_lanes
-- Take jobs of several lanes. More rows are locked than taken, for as long as the transaction lasts.
DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(lanes)s) AS o (lane) CROSS JOIN LATERAL (
    SELECT ctid, rank, id FROM tq.worker_job j WHERE j.lane = o.lane AND j.level <= %(level)s
    ORDER BY rank, id LIMIT %(count)s FOR UPDATE SKIP LOCKED) m
  ORDER BY m.rank, m.id LIMIT %(count)s))
RETURNING rank, id, owner, seq, level, body, pg_current_xact_id()::text

-- name: claim_arrived
-- Take this job, unless somebody else has, and tell that it is started; return the number of that message.
WITH gone AS (DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT j.ctid FROM tq.worker_job j WHERE j.lane = %(lane)s AND j.rank = %(rank)s::integer AND j.id = %(id)s
  FOR UPDATE SKIP LOCKED)) RETURNING 1)
INSERT INTO tq.execution_event (part, key, level, body)
SELECT s.* FROM gone, unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s) AS s RETURNING id

-- name: finish_arrived
-- Take this job, unless somebody else has, send what came of it, and tell of that; a row if it was there.
WITH gone AS (DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT j.ctid FROM tq.worker_job j WHERE j.lane = %(lane)s AND j.rank = %(rank)s::integer AND j.id = %(id)s
  FOR UPDATE SKIP LOCKED)) RETURNING 1),
history AS (INSERT INTO tq.history (part, key, level, body)
  SELECT s.* FROM gone, unnest(%(h_parts)s, %(h_keys)s, %(h_levels)s, %(h_bodies)s) AS s),
sent AS (INSERT INTO tq.execution_event (part, key, level, body)
  SELECT s.* FROM gone, unnest(%(parts)s, %(keys)s, %(levels)s, %(bodies)s) AS s RETURNING part, id, key, level, body)
SELECT pg_notify(%(channel)s, %(payload)s || CASE WHEN %(carries)s = 1 THEN string_agg(
  concat_ws(E'\x1f', part, id, key, level, encode(body, 'base64')), E'\x1e' ORDER BY id) ELSE '' END)
FROM sent HAVING count(*) > 0

-- name: doubt
-- Whether a connection that was lost some seconds ago is still at work, and whether this job is still there.
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(backend)s AND state <> 'idle'
    AND backend_start < clock_timestamp() - make_interval(secs => %(seconds)s)),
  EXISTS (SELECT FROM tq.worker_job WHERE lane = %(lane)s AND rank = %(rank)s::integer AND id = %(id)s)

-- name: outcome
-- What became of a transaction: committed, aborted, in progress, or NULL when it is too long ago.
SELECT pg_xact_status(%(transaction)s::text::xid8)

-- name: revoke_all
-- Take back jobs of executions; rows that are being claimed are left, and their `started` is answered with a kill.
DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM tq.worker_job WHERE owner = ANY(%(owners)s) FOR UPDATE SKIP LOCKED))

-- name: revoke
-- Take back the jobs of these task runs.
DELETE FROM tq.worker_job WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(owners)s, %(seqs)s) AS r (owner, seq) CROSS JOIN LATERAL (
    SELECT j.ctid FROM tq.worker_job j WHERE j.owner = r.owner AND j.seq = r.seq FOR UPDATE SKIP LOCKED) m))

-- name: bury
-- Keep messages that nobody can work on.
INSERT INTO tq.dead_letter (topic, key, reason, body)
SELECT * FROM unnest(%(topics)s, %(keys)s, %(reasons)s, %(bodies)s)

-- name: signals_waiting
-- How full the server's queue of signals is, as a fraction; who listens and does not read holds it back.
SELECT pg_notification_queue_usage()

-- name: depth_keyed
-- How many messages wait, and since when the oldest of each partition has.
SELECT (SELECT count(*) FROM {table}),
  (SELECT extract(epoch FROM clock_timestamp() - min(m.sent_at))::float8
   FROM generate_series(0, %(partitions)s - 1) AS o (part) CROSS JOIN LATERAL (
     SELECT sent_at FROM {table} e WHERE e.part = o.part ORDER BY e.id LIMIT 1) m)

-- name: depth_jobs
-- How many jobs wait, and since when the oldest has.
SELECT count(*), extract(epoch FROM clock_timestamp() - min(sent_at))::float8 FROM tq.worker_job

-- name: depth_dead_letters
-- How many dead letters there are, and the age of the oldest.
SELECT count(*), extract(epoch FROM clock_timestamp() - min(at))::float8 FROM tq.dead_letter

-- name: broadcast_start
-- The last number of the time before the window, and with it what was broadcast since, with its age.
SELECT b.id, r.id, extract(epoch FROM clock_timestamp() - r.sent_at)::float8, r.level, r.body
FROM (SELECT coalesce((SELECT id FROM {table} WHERE sent_at < clock_timestamp() - make_interval(secs => %(window)s)
  ORDER BY id DESC LIMIT 1), 0) AS id) b LEFT JOIN {table} r ON r.id > b.id ORDER BY r.id

-- name: broadcast_read
-- What is new, and what was missing and has come.
(SELECT id, level, body FROM {table} WHERE id > %(top)s ORDER BY id LIMIT %(count)s)
UNION ALL SELECT id, level, body FROM {table} WHERE id = ANY(%(missing)s) ORDER BY id

-- name: broadcast_clean
-- Delete what every subscriber has seen long ago.
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM {table} WHERE sent_at < clock_timestamp() - interval '10 minutes' ORDER BY id LIMIT 10000
  FOR UPDATE SKIP LOCKED))

-- name: members_clean
-- Forget instances that have been silent for an hour.
DELETE FROM tq.member WHERE seen_at < clock_timestamp() - interval '1 hour'

-- name: bloat
-- Tables of queue and state with many dead rows, and the oldest snapshot that holds them back.
SELECT n.nspname || '.' || c.relname, pg_stat_get_dead_tuples(c.oid), pg_snapshot_xmin(pg_current_snapshot())::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('tq', 'ts') AND c.relkind = 'r' AND pg_stat_get_dead_tuples(c.oid) > %(dead)s

-- name: require_level
-- Leave a partition to instances that know this level.
UPDATE tq.lease SET min_level = %(level)s WHERE service = ANY(%(services)s) AND part = %(part)s AND min_level < %(level)s
