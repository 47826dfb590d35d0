-- History, as the indexer writes it. The tenant leads every key. Executions and task runs are partitioned by the execution's id,
-- whose first letters are its instant, so that old ones are dropped with their partition; ids of another form lie wherever
-- they sort. Everything that no partition of a period takes goes to the default one. Texts sort by bytes, so that a prefix is a range.

CREATE SCHEMA IF NOT EXISTS tr;

CREATE TABLE tr.tenant (id text COLLATE "C" PRIMARY KEY);

-- `body` is the execution in MessagePack; the columns beside it are what searches need. `labels` holds 'key:value' without
-- those that the system gives to every execution.
CREATE TABLE tr.execution (
  tenant_id text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, version bigint NOT NULL,
  namespace text COLLATE "C" NOT NULL, flow_id text COLLATE "C" NOT NULL, state text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL,
  started_at timestamptz NOT NULL, ended_at timestamptz, trigger_execution_id text COLLATE "C", parent_id text COLLATE "C",
  labels text[] COLLATE "C" NOT NULL, body bytea NOT NULL,
  PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
-- Lists are ordered by the start, which ids of backfills and ids of other forms do not follow.
CREATE INDEX execution_started ON tr.execution (tenant_id, started_at, id);
CREATE INDEX execution_of_flow ON tr.execution (tenant_id, namespace, flow_id, started_at);
-- Most executions end in SUCCESS, and a search for these finds them among the newest without an index of their own.
CREATE INDEX execution_in_state ON tr.execution (tenant_id, state, started_at) WHERE state <> 'SUCCESS';
CREATE INDEX execution_labelled ON tr.execution USING gin (labels) WHERE labels <> '{}';
CREATE INDEX execution_triggered ON tr.execution (tenant_id, trigger_execution_id) WHERE trigger_execution_id IS NOT NULL;
CREATE TABLE tr.execution_default PARTITION OF tr.execution DEFAULT;

CREATE TABLE tr.task_run (
  tenant_id text COLLATE "C" NOT NULL, execution_id text COLLATE "C" NOT NULL, seq int NOT NULL, version bigint NOT NULL,
  body bytea, output bytea,
  PRIMARY KEY (tenant_id, execution_id, seq)
) PARTITION BY RANGE (execution_id);
CREATE TABLE tr.task_run_default PARTITION OF tr.task_run DEFAULT;

CREATE SEQUENCE tr.position CACHE 1000;

-- `position` keeps lines of the same instant in the order in which they were written.
CREATE TABLE tr.log (
  tenant_id text COLLATE "C" NOT NULL, at timestamptz NOT NULL, position bigint NOT NULL DEFAULT nextval('tr.position'),
  level smallint NOT NULL, namespace text COLLATE "C" NOT NULL, flow_id text COLLATE "C" NOT NULL, execution_id text COLLATE "C",
  task_id text COLLATE "C", task_run_id text COLLATE "C", attempt int, trigger_id text COLLATE "C", thread text, message text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX log_of_execution ON tr.log (tenant_id, execution_id, at, position) WHERE execution_id IS NOT NULL;
CREATE INDEX log_by_time ON tr.log (tenant_id, at, position);
CREATE TABLE tr.log_default PARTITION OF tr.log DEFAULT;

CREATE TABLE tr.metric (
  tenant_id text COLLATE "C" NOT NULL, at timestamptz NOT NULL, position bigint NOT NULL DEFAULT nextval('tr.position'),
  namespace text COLLATE "C" NOT NULL, flow_id text COLLATE "C" NOT NULL, execution_id text COLLATE "C" NOT NULL,
  task_id text COLLATE "C" NOT NULL, task_run_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL, type text NOT NULL, value float8 NOT NULL, tags jsonb NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX metric_of_execution ON tr.metric (tenant_id, execution_id, at, position);
CREATE INDEX metric_of_flow ON tr.metric (tenant_id, namespace, flow_id, name, at);
CREATE TABLE tr.metric_default PARTITION OF tr.metric DEFAULT;

CREATE TABLE tr.audit (
  tenant_id text COLLATE "C" NOT NULL, at timestamptz NOT NULL, id text COLLATE "C" NOT NULL,
  actor text NOT NULL, action text NOT NULL, subject text COLLATE "C" NOT NULL, detail jsonb NOT NULL,
  PRIMARY KEY (tenant_id, at, id)
) PARTITION BY RANGE (at);
CREATE TABLE tr.audit_default PARTITION OF tr.audit DEFAULT;

-- Which batches of logs and metrics were written. An entry serves for as long as its message can come again.
CREATE TABLE tr.ledger (producer text COLLATE "C", sequence bigint, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (producer, sequence));
CREATE INDEX ledger_age ON tr.ledger USING brin (at);
