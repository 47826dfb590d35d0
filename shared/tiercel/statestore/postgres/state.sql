-- Statements of the state store. Rows to be changed are found one by one by their key and then joined by ctid: whatever
-- the statistics say, there is no other plan than looking each of them up.

-- name: insert_executions
-- Heads that are new.
INSERT INTO ts.execution (id, part, version, state, ended_at, head)
SELECT * FROM unnest(%(ids)s, %(parts)s, %(versions)s, %(states)s, %(ended)s, %(heads)s)

-- name: update_executions
-- Heads that are at the version that their owner knows; every one must be.
WITH changed AS (
  UPDATE ts.execution e SET version = n.version, state = n.state, ended_at = n.ended_at, head = n.head
  FROM (SELECT u.*, m.ctid AS place FROM unnest(%(ids)s, %(was)s, %(versions)s, %(states)s, %(ended)s, %(heads)s)
      AS u (id, was, version, state, ended_at, head)
    CROSS JOIN LATERAL (SELECT x.ctid FROM ts.execution x WHERE x.id = u.id AND x.version = u.was LIMIT 1) m) n
  WHERE e.ctid = n.place AND e.version = n.was RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM changed), %(count)s, 'TQ002', 'executions are at their version')

-- name: delete_executions
-- Executions that their owner removes, at the version that it knows.
WITH gone AS (DELETE FROM ts.execution WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(ids)s, %(was)s) AS u (id, was)
  CROSS JOIN LATERAL (SELECT x.ctid FROM ts.execution x WHERE x.id = u.id AND x.version = u.was LIMIT 1) m)) RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM gone), %(count)s, 'TQ002', 'executions are at their version')

-- name: forget_executions
-- Executions that have ended and are at these versions; returns which were removed.
DELETE FROM ts.execution WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(ids)s, %(versions)s) AS u (id, version)
  CROSS JOIN LATERAL (SELECT x.ctid FROM ts.execution x
    WHERE x.id = u.id AND x.version = u.version AND x.ended_at IS NOT NULL LIMIT 1) m))
RETURNING id

-- name: delete_of_executions
-- Everything of these executions that a table holds.
DELETE FROM {table} WHERE execution_id = ANY(%(ids)s)

-- name: delete_timers_of
-- All timers of these owners.
DELETE FROM ts.timer WHERE owner = ANY(%(ids)s)

-- name: delete_parts
-- Rows of executions by their place: task runs, all outputs of task runs, what workers hold.
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(ids)s, %(seqs)s) AS u (id, seq)
  CROSS JOIN LATERAL (SELECT x.ctid FROM {table} x WHERE x.execution_id = u.id AND x.seq = u.seq OFFSET 0) m))

-- name: insert_runs
-- Task runs that are new.
INSERT INTO ts.task_run (execution_id, seq, folded, body)
SELECT * FROM unnest(%(ids)s, %(seqs)s, %(folded)s, %(bodies)s)

-- name: update_runs
-- Task runs that have changed; every one must exist.
WITH changed AS (
  UPDATE ts.task_run e SET folded = n.folded, body = n.body
  FROM (SELECT u.*, m.ctid AS place FROM unnest(%(ids)s, %(seqs)s, %(folded)s, %(bodies)s) AS u (id, seq, folded, body)
    CROSS JOIN LATERAL (SELECT x.ctid FROM ts.task_run x WHERE x.execution_id = u.id AND x.seq = u.seq LIMIT 1) m) n
  WHERE e.ctid = n.place RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM changed), %(count)s, 'TQ002', 'task runs are there')

-- name: put_outputs
-- Outputs; a later attempt's replace the former's.
INSERT INTO ts.task_output (execution_id, seq, kind, task_id, body)
SELECT * FROM unnest(%(ids)s, %(seqs)s, %(kinds)s, %(tasks)s, %(bodies)s)
ON CONFLICT (execution_id, seq, kind) DO UPDATE SET task_id = excluded.task_id, body = excluded.body

-- name: put_held
-- What workers have.
INSERT INTO ts.held (execution_id, seq, attempt, part, worker)
SELECT * FROM unnest(%(ids)s, %(seqs)s, %(attempts)s, %(parts)s, %(workers)s)
ON CONFLICT (execution_id, seq) DO UPDATE
SET attempt = excluded.attempt, worker = excluded.worker, since = clock_timestamp()

-- name: put_timers
-- Timers, set or moved.
INSERT INTO ts.timer (service, part, due, owner, kind, subject)
SELECT * FROM unnest(%(services)s, %(parts)s, %(dues)s, %(owners)s, %(kinds)s, %(subjects)s)
ON CONFLICT (owner, kind, subject) DO UPDATE SET due = excluded.due

-- name: clear_timers
-- Timers that are no longer wanted, or have come due.
DELETE FROM ts.timer WHERE ctid = ANY(ARRAY(
  SELECT m.ctid FROM unnest(%(owners)s, %(kinds)s, %(subjects)s) AS u (owner, kind, subject)
  CROSS JOIN LATERAL (SELECT x.ctid FROM ts.timer x
    WHERE x.owner = u.owner AND x.kind = u.kind AND x.subject = u.subject LIMIT 1) m))

-- name: insert_rows
-- Scopes or triggers that are new; their key is the first column.
INSERT INTO {table} SELECT * FROM unnest(%(ids)s, %(parts)s, %(versions)s, %(bodies)s)

-- name: update_scopes
-- Scopes that are at the version that their owner knows.
WITH changed AS (
  UPDATE ts.scope e SET version = n.version, body = n.body
  FROM (SELECT u.*, m.ctid AS place FROM unnest(%(ids)s, %(was)s, %(versions)s, %(bodies)s) AS u (id, was, version, body)
    CROSS JOIN LATERAL (SELECT x.ctid FROM ts.scope x WHERE x.id = u.id AND x.version = u.was LIMIT 1) m) n
  WHERE e.ctid = n.place AND e.version = n.was RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM changed), %(count)s, 'TQ002', 'scopes are at their version')

-- name: update_triggers
-- Triggers that are at the version that their owner knows.
WITH changed AS (
  UPDATE ts.trigger e SET version = n.version, body = n.body
  FROM (SELECT u.*, m.ctid AS place FROM unnest(%(ids)s, %(was)s, %(versions)s, %(bodies)s) AS u (uid, was, version, body)
    CROSS JOIN LATERAL (SELECT x.ctid FROM ts.trigger x WHERE x.uid = u.uid AND x.version = u.was LIMIT 1) m) n
  WHERE e.ctid = n.place AND e.version = n.was RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM changed), %(count)s, 'TQ002', 'triggers are at their version')

-- name: delete_triggers
-- Triggers whose flow no longer has them.
DELETE FROM ts.trigger WHERE uid = ANY(%(ids)s)

-- name: park
-- Events that have to wait, in order.
INSERT INTO ts.parked (part, execution_id, body) SELECT * FROM unnest(%(parts)s, %(ids)s, %(bodies)s)

-- name: unpark
-- Events that wait no longer.
DELETE FROM ts.parked WHERE id = ANY(%(numbers)s)

-- name: parked
-- Executions of these partitions that have parked events.
SELECT DISTINCT execution_id, part FROM ts.parked WHERE part = ANY(%(parts)s)

-- name: parked_events
-- Parked events of these executions, in order.
SELECT m.id, m.part, m.execution_id, m.body FROM unnest(%(ids)s) AS u (id) CROSS JOIN LATERAL (
  SELECT id, part, execution_id, body FROM ts.parked p WHERE p.execution_id = u.id ORDER BY p.id LIMIT %(count)s) m
ORDER BY m.id

-- name: load
-- Heads with the task runs that are not folded, as one snapshot.
SELECT e.id, e.head, ARRAY(
  SELECT r.body FROM ts.task_run r WHERE r.execution_id = e.id AND NOT r.folded ORDER BY r.seq)
FROM ts.execution e WHERE e.id = ANY(%(ids)s)

-- name: snapshot
-- An execution with all its task runs and outputs, as one snapshot.
SELECT e.head, ARRAY(SELECT r.body FROM ts.task_run r WHERE r.execution_id = e.id ORDER BY r.seq),
  ARRAY(SELECT o.body FROM ts.task_output o WHERE o.execution_id = e.id AND o.kind = %(kind)s ORDER BY o.seq)
FROM ts.execution e WHERE e.id = %(id)s

-- name: runs
-- All task runs of an execution.
SELECT body FROM ts.task_run WHERE execution_id = %(id)s ORDER BY seq

-- name: outputs
-- All outputs of an execution.
SELECT body FROM ts.task_output WHERE execution_id = %(id)s AND kind = %(kind)s ORDER BY seq

-- name: outputs_of_runs
-- Outputs of these task runs.
SELECT body FROM ts.task_output WHERE execution_id = %(id)s AND seq = ANY(%(seqs)s) AND kind = %(kind)s ORDER BY seq

-- name: outputs_of_tasks
-- Outputs of all runs of these tasks.
SELECT body FROM ts.task_output WHERE execution_id = %(id)s AND task_id = ANY(%(tasks)s) AND kind = %(kind)s ORDER BY seq

-- name: timers
-- Timers that are due soon.
SELECT m.owner, m.kind, m.subject, m.due FROM unnest(%(parts)s) AS o (part) CROSS JOIN LATERAL (
  SELECT owner, kind, subject, due FROM ts.timer t
  WHERE t.service = %(service)s AND t.part = o.part AND t.due < %(until)s ORDER BY t.due LIMIT %(count)s) m
ORDER BY m.due, m.owner, m.kind, m.subject LIMIT %(count)s

-- name: held
-- What workers have, in these partitions.
SELECT execution_id, seq, attempt, worker FROM ts.held WHERE part = ANY(%(parts)s) ORDER BY part, execution_id, seq

-- name: held_by
-- What these workers have, in these partitions.
SELECT execution_id, seq, attempt, worker FROM ts.held
WHERE part = ANY(%(parts)s) AND worker = ANY(%(workers)s) ORDER BY part, execution_id, seq

-- name: versions
-- Version and state.
SELECT id, version, state FROM ts.execution WHERE id = ANY(%(ids)s)

-- name: scopes
-- Scopes by id.
SELECT id, body FROM ts.scope WHERE id = ANY(%(ids)s)

-- name: scopes_under
-- Scopes whose ids begin alike, a part of them, in order.
SELECT body FROM ts.scope WHERE starts_with(id, %(prefix)s) AND id COLLATE "C" > %(after)s ORDER BY id COLLATE "C" LIMIT %(count)s

-- name: triggers
-- All triggers.
SELECT body FROM ts.trigger ORDER BY uid

-- name: triggers_of_partitions
-- Triggers of these partitions.
SELECT body FROM ts.trigger WHERE part = ANY(%(parts)s) ORDER BY uid

-- name: triggers_by_uid
-- Triggers by uid.
SELECT body FROM ts.trigger WHERE uid = ANY(%(ids)s) ORDER BY uid

-- name: triggers_by_both
-- Triggers by uid, as far as they are in these partitions.
SELECT body FROM ts.trigger WHERE uid = ANY(%(ids)s) AND part = ANY(%(parts)s) ORDER BY uid

-- name: ended_before
-- Executions that ended before an instant and wait for no timer, the earliest first.
SELECT m.id, m.version FROM unnest(%(parts)s) AS o (part) CROSS JOIN LATERAL (
  SELECT id, version, ended_at FROM ts.execution e
  WHERE e.part = o.part AND e.ended_at < %(until)s AND NOT EXISTS (SELECT FROM ts.timer t WHERE t.owner = e.id)
  ORDER BY e.ended_at LIMIT %(count)s) m
ORDER BY m.ended_at, m.id LIMIT %(count)s
