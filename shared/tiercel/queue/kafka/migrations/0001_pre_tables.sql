-- What Kafka's adapter keeps in PostgreSQL, in the schema of the queue.

-- Where the owner of a KEYED partition reads on.
CREATE TABLE tq.position (
  topic text COLLATE "C", part smallint, next_offset bigint NOT NULL, PRIMARY KEY (topic, part)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);

-- The highest sequence of each origin that was read in a partition.
CREATE TABLE tq.seen (
  topic text COLLATE "C", part smallint, origin text COLLATE "C", seq bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (topic, part, origin)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- What transactions have sent, until the brokers have confirmed it.
CREATE TABLE tq.outbox (
  service text COLLATE "C", origin text COLLATE "C", seq bigint, topic text COLLATE "C" NOT NULL,
  part smallint NOT NULL, key text COLLATE "C" NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  value bytea NOT NULL, PRIMARY KEY (service, origin, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2000000000, vacuum_truncate = off);
ALTER TABLE tq.outbox ALTER value SET STORAGE EXTERNAL;

-- How many jobs the dispatcher has sent to a worker in all.
CREATE TABLE tq.worker (
  worker text COLLATE "C" PRIMARY KEY, sent bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
