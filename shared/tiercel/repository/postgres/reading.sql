-- name: confirmed
-- Ids are unique over tenants; the join with the few tenants makes the key's index usable.
SELECT e.id, e.version FROM tr.tenant t JOIN tr.execution e ON e.tenant_id = t.id AND e.id = ANY(%s)

-- name: anywhere
-- The same, with all of each execution.
SELECT e.body FROM tr.tenant t JOIN tr.execution e ON e.tenant_id = t.id AND e.id = ANY(%s)

-- name: executions
SELECT body FROM tr.execution WHERE tenant_id = %s AND id = ANY(%s)

-- name: runs
SELECT body FROM tr.task_run WHERE tenant_id = %s AND execution_id = %s AND body IS NOT NULL ORDER BY seq

-- name: outputs
SELECT seq, output FROM tr.task_run
WHERE tenant_id = %(tenant)s AND execution_id = %(id)s AND output IS NOT NULL
  AND (%(seqs)s::int[] IS NULL OR seq = ANY(%(seqs)s::int[]))
ORDER BY seq

-- name: latest
-- One step into the index of flows for each flow.
SELECT f.namespace, f.flow_id, e.body
FROM unnest(%(namespaces)s::text[], %(flows)s::text[]) AS f(namespace, flow_id)
CROSS JOIN LATERAL (
  SELECT body FROM tr.execution
  WHERE tenant_id = %(tenant)s AND namespace = f.namespace AND flow_id = f.flow_id AND kind = 'NORMAL'
    AND (%(states)s::text[] IS NULL OR state = ANY(%(states)s::text[]))
  ORDER BY started_at DESC, id DESC LIMIT 1) e

-- name: belongings
SELECT
  (SELECT count(*) FROM tr.log WHERE tenant_id = %(tenant)s AND execution_id = ANY(%(ids)s)),
  (SELECT count(*) FROM tr.metric WHERE tenant_id = %(tenant)s AND execution_id = ANY(%(ids)s)),
  (SELECT count(*) FROM tr.task_run WHERE tenant_id = %(tenant)s AND execution_id = ANY(%(ids)s) AND output IS NOT NULL)

-- name: metric_names
SELECT DISTINCT name FROM tr.metric
WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND flow_id = %(flow)s
  AND (%(task)s::text IS NULL OR task_id = %(task)s) ORDER BY name

-- name: metric_tasks
SELECT DISTINCT task_id FROM tr.metric WHERE tenant_id = %s AND namespace = %s AND flow_id = %s ORDER BY task_id

-- name: partitions
-- The partitions of a table of this schema, by name.
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_namespace n ON n.oid = p.relnamespace WHERE n.nspname = 'tr' AND p.relname = %s ORDER BY c.relname

-- name: forget_batches
DELETE FROM tr.ledger WHERE at < %s
