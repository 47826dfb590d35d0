-- name: versions
-- The versions that are stored, locked, so that two writers of one execution go one after the other.
SELECT e.id, e.version FROM tr.execution e
WHERE e.tenant_id = ANY(%(tenants)s) AND e.id = ANY(%(ids)s) ORDER BY e.id FOR UPDATE

-- name: put_tenants
INSERT INTO tr.tenant SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING

-- name: put_executions
-- The last one wins, whatever the order of arrival. Labels come joined by the unit separator.
INSERT INTO tr.execution AS e (tenant_id, id, version, namespace, flow_id, state, kind, started_at, ended_at,
  trigger_execution_id, parent_id, labels, body)
SELECT n.tenant_id, n.id, n.version, n.namespace, n.flow_id, n.state, n.kind, n.started_at, n.ended_at,
  n.trigger_execution_id, n.parent_id, string_to_array(n.labels, E'\x1f'), n.body
FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[],
  %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::bytea[])
  AS n(tenant_id, id, version, namespace, flow_id, state, kind, started_at, ended_at, trigger_execution_id, parent_id, labels, body)
ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version, state = excluded.state, ended_at = excluded.ended_at,
  labels = excluded.labels, body = excluded.body
WHERE e.version < excluded.version

-- name: put_runs
-- A run that comes without an output keeps the one it has.
INSERT INTO tr.task_run AS r (tenant_id, execution_id, seq, version, body, output)
SELECT * FROM unnest(%b::text[], %b::text[], %b::int[], %b::bigint[], %b::bytea[], %b::bytea[])
ON CONFLICT (tenant_id, execution_id, seq) DO UPDATE SET version = excluded.version,
  body = coalesce(excluded.body, r.body), output = coalesce(excluded.output, r.output)
WHERE r.version < excluded.version

-- name: remove_runs
DELETE FROM tr.task_run r USING unnest(%b::text[], %b::text[], %b::int[], %b::bigint[]) AS n(tenant_id, execution_id, seq, version)
WHERE r.tenant_id = n.tenant_id AND r.execution_id = n.execution_id AND r.seq = n.seq AND r.version <= n.version

-- name: enter_ledger
-- Returns the places (in the arrays) of the batches that are new.
INSERT INTO tr.ledger (producer, sequence) SELECT * FROM unnest(%b::text[], %b::bigint[])
ON CONFLICT DO NOTHING RETURNING producer, sequence

-- name: copy_logs
COPY tr.log (tenant_id, at, level, namespace, flow_id, execution_id, task_id, task_run_id, attempt, trigger_id, thread, message)
FROM STDIN (FORMAT BINARY)

-- name: copy_metrics
COPY tr.metric (tenant_id, at, namespace, flow_id, execution_id, task_id, task_run_id, name, type, value, tags)
FROM STDIN (FORMAT BINARY)

-- name: put_audit
INSERT INTO tr.audit (tenant_id, at, id, actor, action, subject, detail)
SELECT * FROM unnest(%b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[], %b::jsonb[])
ON CONFLICT DO NOTHING

-- name: iterations_below
-- Executions of kind LOOP below these, at any depth, each with the one of these that it is below.
WITH RECURSIVE below AS (
  SELECT e.parent_id AS root, e.tenant_id, e.id FROM tr.tenant t JOIN tr.execution e ON e.tenant_id = t.id
  WHERE e.parent_id = ANY(%(ids)s) AND e.kind = 'LOOP'
  UNION ALL
  SELECT b.root, e.tenant_id, e.id FROM below b JOIN tr.execution e ON e.tenant_id = b.tenant_id AND e.parent_id = b.id
  WHERE e.kind = 'LOOP')
SELECT id, root FROM below

-- name: delete_executions
DELETE FROM tr.execution e USING tr.tenant t WHERE e.tenant_id = t.id AND e.id = ANY(%s)

-- name: delete_runs
DELETE FROM tr.task_run r USING tr.tenant t WHERE r.tenant_id = t.id AND r.execution_id = ANY(%s)

-- name: delete_logs
DELETE FROM tr.log l USING tr.tenant t WHERE l.tenant_id = t.id AND l.execution_id = ANY(%s)

-- name: delete_metrics
DELETE FROM tr.metric m USING tr.tenant t WHERE m.tenant_id = t.id AND m.execution_id = ANY(%s)
