-- The queue. Rows live for milliseconds: they are inserted, read by index and deleted, never updated.

CREATE SCHEMA tq;

CREATE TABLE tq.layout (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), partitions smallint NOT NULL, hash text NOT NULL);

-- Raises an error of ours inside a pipelined transaction, so that all of it is rolled back without a round trip.
CREATE FUNCTION tq.expect(actual bigint, wanted bigint, code text, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF actual <> wanted THEN
    RAISE EXCEPTION '% of % %', actual, wanted, what USING ERRCODE = code;
  END IF;
END $$;

CREATE TABLE tq.member (
  service text COLLATE "C" NOT NULL, instance text COLLATE "C" NOT NULL, level smallint NOT NULL,
  draining boolean NOT NULL DEFAULT false, seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (service, instance)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE tq.lease (
  service text COLLATE "C" NOT NULL, part smallint NOT NULL, owner text COLLATE "C",
  token text COLLATE "C" NOT NULL DEFAULT gen_random_uuid()::text, epoch bigint NOT NULL DEFAULT 0,
  taken_at timestamptz NOT NULL DEFAULT '-infinity', expires_at timestamptz NOT NULL DEFAULT '-infinity',
  min_level smallint NOT NULL DEFAULT 0, crashes smallint NOT NULL DEFAULT 0, suspect bigint,
  PRIMARY KEY (service, part)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
        autovacuum_vacuum_cost_delay = 0);

-- DISPATCH: the row is the permission to run; deleting it revokes it. `owner` is an execution, or a trigger's uid.
CREATE TABLE tq.worker_job (
  id bigint GENERATED ALWAYS AS IDENTITY, lane text COLLATE "C" NOT NULL, rank integer NOT NULL DEFAULT 0,
  owner text COLLATE "C" NOT NULL, seq bigint NOT NULL, level smallint NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT clock_timestamp(), body bytea NOT NULL,
  PRIMARY KEY (lane, rank, id));
CREATE INDEX worker_job_of ON tq.worker_job (owner);

-- KEYED
CREATE TABLE tq.execution_event (
  id bigint GENERATED ALWAYS AS IDENTITY, part smallint NOT NULL, key text COLLATE "C" NOT NULL,
  level smallint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp(), body bytea NOT NULL,
  PRIMARY KEY (part, id));
CREATE TABLE tq.trigger_event (LIKE tq.execution_event INCLUDING ALL);
CREATE TABLE tq.history (LIKE tq.execution_event INCLUDING ALL);

-- BROADCAST: a table each, so that numbers that are missing tell of transactions that have not committed yet.
CREATE TABLE tq.broadcast (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, level smallint NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT clock_timestamp(), body bytea NOT NULL);
CREATE TABLE tq.worker_event (LIKE tq.broadcast INCLUDING ALL);

CREATE TABLE tq.dead_letter (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  topic text NOT NULL, key text NOT NULL, reason text NOT NULL, body bytea NOT NULL);

-- Statistics of a table that is empty one moment and holds 50,000 rows the next can only mislead: no auto-analyze.
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['worker_job', 'execution_event', 'trigger_event', 'history', 'broadcast', 'worker_event'] LOOP
    EXECUTE format('ALTER TABLE tq.%I ALTER body SET STORAGE EXTERNAL', t);
    EXECUTE format('ALTER TABLE tq.%I SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
      autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1,
      autovacuum_analyze_threshold = 2000000000, vacuum_truncate = off)', t);
  END LOOP;
END $$;

-- How many partitions an instance should own: all, by living members that do not drain (itself included), rounded up.
CREATE FUNCTION tq.fair_share(which text, me text, ttl_s float8) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN EXISTS (SELECT FROM tq.member WHERE service = which AND instance = me AND draining) THEN 0
    ELSE (SELECT count(*) FROM tq.lease WHERE service = which)
      + (SELECT count(*) FROM tq.member WHERE service = which AND instance <> me AND NOT draining
           AND seen_at > clock_timestamp() - make_interval(secs => ttl_s)) END
    / (1 + (SELECT count(*) FROM tq.member WHERE service = which AND instance <> me AND NOT draining
           AND seen_at > clock_timestamp() - make_interval(secs => ttl_s)))
$$;
