-- Events of executions that wait for facts: rows that live for moments, decided in the order of their numbers.

CREATE TABLE ts.parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, part smallint NOT NULL,
  execution_id text COLLATE "C" NOT NULL, body bytea NOT NULL);
CREATE INDEX parked_of ON ts.parked (execution_id, id);
CREATE INDEX parked_in ON ts.parked (part, execution_id);
ALTER TABLE ts.parked SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
