-- Statements of the definition store. Every key begins with the tenant.

-- name: latest_locked
-- Number of the last revision; the flow is locked until the end of the transaction.
SELECT revision FROM td.flow WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s FOR UPDATE

-- name: point
-- The flow's last revision is this one; nothing is returned when another process has been faster.
INSERT INTO td.flow (tenant_id, namespace, id, revision, deleted)
VALUES (%(tenant)s, %(namespace)s, %(id)s, %(revision)s, %(deleted)s)
ON CONFLICT (tenant_id, namespace, id) DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted
WHERE td.flow.revision = excluded.revision - 1
RETURNING revision

-- name: store
-- One revision.
INSERT INTO td.revision (tenant_id, namespace, id, revision, source, deleted, disabled, draft, description, labels)
VALUES (%(tenant)s, %(namespace)s, %(id)s, %(revision)s, %(source)s, %(deleted)s, %(disabled)s, %(draft)s,
  %(description)s, %(labels)s::jsonb)
RETURNING {columns}

-- name: latest
-- Number of the last revision, and whether it is deleted.
SELECT revision, deleted FROM td.flow WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s

-- name: revision
-- One revision.
SELECT {columns} FROM td.revision
WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s AND revision = %(revision)s

-- name: published
-- The last revision that is no draft; a flow that was deleted has a last one that says so.
SELECT {columns} FROM td.revision
WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s AND NOT draft
ORDER BY revision DESC LIMIT 1

-- name: below_drafts
-- What is published of the flows whose last revision is a draft.
SELECT {columns} FROM td.flow f JOIN td.revision r USING (tenant_id, namespace, id, revision)
JOIN LATERAL (SELECT * FROM td.revision b
  WHERE b.tenant_id = f.tenant_id AND b.namespace = f.namespace AND b.id = f.id AND NOT b.draft
  ORDER BY b.revision DESC LIMIT 1) p ON true
WHERE NOT f.deleted AND r.draft

-- name: revisions
-- All revisions of a flow, oldest first.
SELECT {columns} FROM td.revision
WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s ORDER BY revision

-- name: forget_revisions
-- Revisions that are named are gone, but for the last one, which the flow points to, and for the published one.
DELETE FROM td.revision
WHERE tenant_id = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s AND revision = ANY(%(revisions)s::integer[])
  AND revision <> (SELECT f.revision FROM td.flow f
    WHERE f.tenant_id = %(tenant)s AND f.namespace = %(namespace)s AND f.id = %(id)s)
  AND revision <> coalesce((SELECT max(p.revision) FROM td.revision p
    WHERE p.tenant_id = %(tenant)s AND p.namespace = %(namespace)s AND p.id = %(id)s AND NOT p.draft), 0)
RETURNING revision

-- name: last
-- The last revision of every flow that is not deleted; conditions and order are added.
SELECT {columns} FROM td.flow f JOIN td.revision r USING (tenant_id, namespace, id, revision)
WHERE NOT f.deleted

-- name: count
-- How many flows there are that are not deleted; conditions are added.
SELECT count(*) FROM td.flow f JOIN td.revision r USING (tenant_id, namespace, id, revision) WHERE NOT f.deleted

-- name: namespaces
-- Namespaces that have flows.
SELECT DISTINCT namespace FROM td.flow WHERE tenant_id = %(tenant)s AND NOT deleted ORDER BY namespace
