-- Live state. Ids are text, as callers may choose them; bodies are MessagePack of our records. No column that changes
-- has an index (so that updates stay in their page), but for what ends: `ended_at` and `folded` change once.

CREATE SCHEMA ts;

CREATE TABLE ts.execution (
  id text COLLATE "C" PRIMARY KEY, part smallint NOT NULL, version bigint NOT NULL, state text COLLATE "C" NOT NULL,
  ended_at timestamptz, head bytea NOT NULL) WITH (fillfactor = 60);
CREATE INDEX execution_ended ON ts.execution (part, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE ts.task_run (
  execution_id text COLLATE "C", seq bigint, folded boolean NOT NULL, body bytea NOT NULL,
  PRIMARY KEY (execution_id, seq)) WITH (fillfactor = 60);
CREATE INDEX task_run_live ON ts.task_run (execution_id, seq) WHERE NOT folded;

CREATE TABLE ts.task_output (
  execution_id text COLLATE "C", seq bigint, kind smallint, task_id text COLLATE "C" NOT NULL, body bytea NOT NULL,
  PRIMARY KEY (execution_id, seq, kind));
CREATE INDEX task_output_of ON ts.task_output (execution_id, task_id, seq);

CREATE TABLE ts.held (
  execution_id text COLLATE "C", seq bigint, attempt integer NOT NULL, part smallint NOT NULL,
  worker text COLLATE "C" NOT NULL, since timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (execution_id, seq));
CREATE INDEX held_by ON ts.held (part, worker);

CREATE TABLE ts.timer (
  service text COLLATE "C" NOT NULL, part smallint NOT NULL, due timestamptz NOT NULL, owner text COLLATE "C",
  kind smallint, subject bigint, PRIMARY KEY (owner, kind, subject));
CREATE INDEX timer_due ON ts.timer (service, part, due);

CREATE TABLE ts.scope (
  id text COLLATE "C" PRIMARY KEY, part smallint NOT NULL, version bigint NOT NULL, body bytea NOT NULL)
  WITH (fillfactor = 60);

CREATE TABLE ts.trigger (
  uid text COLLATE "C" PRIMARY KEY, part smallint NOT NULL, version bigint NOT NULL, body bytea NOT NULL)
  WITH (fillfactor = 60);
CREATE INDEX trigger_part ON ts.trigger (part);

DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['execution', 'task_run', 'task_output', 'held', 'timer', 'scope', 'trigger'] LOOP
    EXECUTE format('ALTER TABLE ts.%I SET (autovacuum_vacuum_scale_factor = 0.02,
      autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)', t);
  END LOOP;
END $$;
ALTER TABLE ts.execution ALTER head SET STORAGE EXTERNAL;
ALTER TABLE ts.task_run ALTER body SET STORAGE EXTERNAL;
