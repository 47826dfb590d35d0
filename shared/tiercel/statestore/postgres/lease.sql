-- Statements of the leases. Time is the database's; it decides who lives, and the token decides who may write.

-- name: announce
-- An instance lives.
INSERT INTO tq.member (service, instance, level, draining) VALUES (%(service)s, %(me)s, %(level)s, %(draining)s)
ON CONFLICT (service, instance) DO UPDATE
SET level = excluded.level, draining = excluded.draining, seen_at = clock_timestamp()

-- name: prepare
-- Make the rows of a service.
INSERT INTO tq.lease (service, part) SELECT %(service)s, generate_series(0, %(partitions)s - 1) ON CONFLICT DO NOTHING

-- name: renew
-- Go on owning; a minute of ownership says that nothing in the partition kills its owner.
UPDATE tq.lease SET expires_at = clock_timestamp() + make_interval(secs => %(ttl)s),
  crashes = CASE WHEN taken_at <= clock_timestamp() - interval '1 minute' THEN 0 ELSE crashes END
WHERE ctid = ANY(ARRAY(SELECT ctid FROM tq.lease WHERE service = %(service)s AND owner = %(me)s ORDER BY part FOR UPDATE))

-- name: take
-- Own what nobody owns or lives to own, up to the fair share. What was not given back cleanly counts as a crash.
UPDATE tq.lease SET owner = %(me)s, token = gen_random_uuid()::text, epoch = epoch + 1, taken_at = clock_timestamp(),
  expires_at = clock_timestamp() + make_interval(secs => %(ttl)s),
  crashes = CASE WHEN owner IS NULL THEN 0 ELSE crashes + 1 END
WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM tq.lease WHERE service = %(service)s AND min_level <= %(level)s
    AND (owner IS NULL OR (owner <> %(me)s AND expires_at < clock_timestamp()))
  ORDER BY md5(part::text || %(me)s)
  LIMIT greatest(0, tq.fair_share(%(service)s, %(me)s, %(ttl)s)
    - (SELECT count(*) FROM tq.lease WHERE service = %(service)s AND owner = %(me)s))
  FOR UPDATE SKIP LOCKED))

-- name: mine
-- What an instance owns.
SELECT part, token, crashes, suspect FROM tq.lease WHERE service = %(service)s AND owner = %(me)s ORDER BY part

-- name: surplus
-- What an instance should hand to others: what is above its share, and what needs a newer level than its own.
SELECT part FROM (
  SELECT part, too_new, row_number() OVER (PARTITION BY too_new ORDER BY part) AS place FROM (
    SELECT part, min_level > coalesce((SELECT level FROM tq.member WHERE service = %(service)s AND instance = %(me)s),
      32767) AS too_new
    FROM tq.lease WHERE service = %(service)s AND owner = %(me)s) l) r
WHERE too_new OR place > tq.fair_share(%(service)s, %(me)s, %(ttl)s) ORDER BY part

-- name: release
-- Give back cleanly.
UPDATE tq.lease SET owner = NULL, expires_at = '-infinity', crashes = 0, suspect = NULL
WHERE ctid = ANY(ARRAY(SELECT ctid FROM tq.lease
  WHERE service = %(service)s AND owner = %(me)s AND part = ANY(%(parts)s) ORDER BY part FOR UPDATE))

-- name: release_all
-- Give everything back.
UPDATE tq.lease SET owner = NULL, expires_at = '-infinity', crashes = 0, suspect = NULL
WHERE ctid = ANY(ARRAY(SELECT ctid FROM tq.lease WHERE service = %(service)s AND owner = %(me)s ORDER BY part FOR UPDATE))

-- name: expire
-- What a dead instance owns is free; it has an owner still, so that taking it counts a crash.
UPDATE tq.lease SET expires_at = '-infinity'
WHERE ctid = ANY(ARRAY(SELECT ctid FROM tq.lease WHERE service = %(service)s AND owner = %(me)s ORDER BY part FOR UPDATE))

-- name: leave
-- Forget an instance.
DELETE FROM tq.member WHERE service = %(service)s AND instance = %(me)s

-- name: suspect
-- Note the message that is about to be worked on.
UPDATE tq.lease SET suspect = %(message)s WHERE service = %(service)s AND part = %(part)s AND token = %(token)s
