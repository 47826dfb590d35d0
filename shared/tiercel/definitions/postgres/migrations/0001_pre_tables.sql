-- Flows. A revision is never changed; the flow's row says which is the last, and carries what lists show and sort by.

CREATE SCHEMA td;

CREATE TABLE td.revision (
  tenant_id text COLLATE "C", namespace text COLLATE "C", id text COLLATE "C", revision integer,
  source text NOT NULL, deleted boolean NOT NULL, updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  disabled boolean NOT NULL, draft boolean NOT NULL, description text, labels jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (tenant_id, namespace, id, revision));

CREATE TABLE td.flow (
  tenant_id text COLLATE "C", namespace text COLLATE "C", id text COLLATE "C", revision integer NOT NULL,
  deleted boolean NOT NULL, PRIMARY KEY (tenant_id, namespace, id));
