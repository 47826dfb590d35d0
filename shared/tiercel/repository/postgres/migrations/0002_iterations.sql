-- A Loop leaves a hundred thousand executions of kind LOOP beside the one that lists show. With the kind in their keys, lists
-- step over none of them, and the iterations of a loop are found by what they belong to.

DROP INDEX tr.execution_started;
CREATE INDEX execution_started ON tr.execution (tenant_id, kind, started_at, id);
DROP INDEX tr.execution_of_flow;
CREATE INDEX execution_of_flow ON tr.execution (tenant_id, namespace, flow_id, kind, started_at);
CREATE INDEX execution_below ON tr.execution (tenant_id, parent_id, started_at) WHERE parent_id IS NOT NULL;
