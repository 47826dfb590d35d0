-- What Kafka's adapter asks of PostgreSQL.

-- name: begin_at
-- Fix where reading begins, where nobody has yet.
INSERT INTO tq.position (topic, part, next_offset) SELECT %(topic)s, * FROM unnest(%(parts)s, %(offsets)s)
ON CONFLICT DO NOTHING

-- name: positions
-- Where reading goes on.
SELECT p.part, p.next_offset FROM unnest(%(parts)s) AS o (part)
CROSS JOIN LATERAL (SELECT part, next_offset FROM tq.position x WHERE x.topic = %(topic)s AND x.part = o.part) p

-- name: all_positions
-- Where reading goes on, of all topics.
SELECT topic, part, next_offset FROM tq.position ORDER BY topic, part

-- name: seen
-- What was read before, by origin.
SELECT s.part, s.origin, s.seq FROM unnest(%(parts)s) AS o (part)
CROSS JOIN LATERAL (SELECT part, origin, seq FROM tq.seen x WHERE x.topic = %(topic)s AND x.part = o.part) s

-- name: advance
-- Move positions from where their reader believes them to be; every one must be there. Keep the highest sequence of each
-- origin.
WITH remembered AS (
  INSERT INTO tq.seen AS s (topic, part, origin, seq)
  SELECT %(topic)s, * FROM unnest(%(seen_parts)s, %(origins)s, %(seqs)s)
  ON CONFLICT (topic, part, origin) DO UPDATE SET seq = excluded.seq, at = excluded.at WHERE s.seq < excluded.seq),
moved AS (
  UPDATE tq.position p SET next_offset = n.next_offset
  FROM (SELECT u.*, m.ctid AS place FROM unnest(%(parts)s, %(was)s, %(nexts)s) AS u (part, was, next_offset)
    CROSS JOIN LATERAL (SELECT x.ctid FROM tq.position x
      WHERE x.topic = %(topic)s AND x.part = u.part AND x.next_offset = u.was LIMIT 1) m) n
  WHERE p.ctid = n.place AND p.next_offset = n.was RETURNING 1)
SELECT tq.expect((SELECT count(*) FROM moved), %(count)s, 'TQ002', 'positions are where they were')

-- name: pass
-- Move a position over messages that were seen before, if it is where its reader believes it to be.
UPDATE tq.position SET next_offset = %(next)s WHERE topic = %(topic)s AND part = %(part)s AND next_offset = %(was)s

-- name: write_outbox
-- Keep what is sent after the commit.
INSERT INTO tq.outbox (service, origin, seq, topic, part, key, value)
SELECT %(service)s, %(origin)s, * FROM unnest(%(seqs)s, %(topics)s, %(parts)s, %(keys)s, %(bodies)s)

-- name: clear_outbox
-- Forget what is confirmed, of one origin.
DELETE FROM tq.outbox WHERE service = %(service)s AND origin = %(origin)s AND seq <= %(seq)s

-- name: foreign_origins
-- Whose messages a service has left unsent, as far as can be told, for so long.
SELECT DISTINCT origin FROM tq.outbox
WHERE service = %(service)s AND origin <> %(origin)s AND at <= clock_timestamp() - make_interval(secs => %(age)s)

-- name: foreign_outbox
-- The next messages of an origin, in order.
SELECT seq, topic, part, key, value FROM tq.outbox
WHERE service = %(service)s AND origin = %(origin)s AND seq > %(after)s ORDER BY seq LIMIT %(count)s

-- name: seen_clean
-- Forget origins whose messages no topic holds any more.
DELETE FROM tq.seen WHERE at < clock_timestamp() - make_interval(secs => %(age)s)

-- name: workers
-- How much workers were sent.
SELECT worker, sent FROM tq.worker

-- name: count_sent
-- Count what workers are sent.
INSERT INTO tq.worker AS w (worker, sent) SELECT * FROM unnest(%(workers)s, %(sent)s)
ON CONFLICT (worker) DO UPDATE SET sent = excluded.sent, at = excluded.at

-- name: hand_out
-- Hold the dispatcher's lease for the rest of the transaction, and count what workers are sent.
WITH counted AS (
  INSERT INTO tq.worker AS w (worker, sent) SELECT * FROM unnest(%(workers)s, %(sent)s)
  ON CONFLICT (worker) DO UPDATE SET sent = excluded.sent, at = excluded.at)
SELECT tq.expect((SELECT count(*) FROM (SELECT 1 FROM tq.lease l
    WHERE l.service = %(service)s AND l.part = %(part)s AND l.token = %(token)s AND l.owner IS NOT NULL FOR SHARE) x),
  1, 'TQ001', 'leases are held')

-- name: workers_clean
-- Forget workers that have been sent nothing for a day and are not heard any more.
DELETE FROM tq.worker WHERE at < clock_timestamp() - interval '1 day' AND worker <> ALL(%(living)s)
