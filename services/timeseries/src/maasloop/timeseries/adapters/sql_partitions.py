"""Statements about partitions: their fences, up to where each has stored everything, and dividing districts anew."""

FENCE_ADVANCE = """
    INSERT INTO fences AS f (partition, token) VALUES (%s, %s)
    ON CONFLICT (partition) DO UPDATE SET token = excluded.token WHERE f.token < excluded.token
"""
FENCE_AT = "SELECT token FROM fences WHERE partition = %s"
# Shared, because a partition has several writers; who advances it waits for all of them.
FENCE_REQUIRE = "SELECT FROM fences WHERE partition = %s AND token = %s FOR SHARE"

PARTITIONS = "SELECT partitions FROM partitioning"
PARTITIONS_ALONE = "SELECT partitions FROM partitioning FOR UPDATE"
# What transactions of writers change before they come to their fence is locked before the fences are, in their order.
WINDOWS = "SELECT partition, retention, open_from FROM rollup_windows FOR UPDATE"
FLOORS_LOCK = "SELECT FROM partition_floors FOR UPDATE"
LANES_LOCK = "SELECT FROM positions_in_streams WHERE strpos(stream, '/') > 0 FOR UPDATE"
# Waits for transactions of all partitions that passed, and lets no later one pass.
FENCES_RAISE = "UPDATE fences SET token = token + 1"
DIVIDE = "UPDATE partitioning SET partitions = %(partitions)s"
# The floor of all: the lowest of the partitions before, and the highest position where there was one partition only that
# kept no floor. Totals go on from where they were counted.
FLOORS_ANEW = """
    WITH floors AS (
        SELECT stream, created, epoch, CASE WHEN count(*) = %(before)s THEN min(sequence) ELSE 0 END AS sequence,
            coalesce(max(heard) FILTER (WHERE partition = 0), 0) AS heard
        FROM partition_floors GROUP BY stream, created, epoch
        UNION ALL
        SELECT stream, created, epoch, max(sequence), max(sequence) FROM positions_in_streams AS p
        WHERE strpos(stream, '/') = 0 AND NOT EXISTS (
            SELECT FROM partition_floors AS f
            WHERE f.stream = p.stream AND f.created = p.created AND f.epoch = p.epoch
        ) GROUP BY stream, created, epoch
    ), forgotten AS (
        DELETE FROM partition_floors WHERE partition >= %(partitions)s
    )
    INSERT INTO partition_floors (stream, created, epoch, partition, sequence, heard)
    SELECT stream, created, epoch, partition, sequence, CASE WHEN partition = 0 THEN heard ELSE 0 END
    FROM floors CROSS JOIN generate_series(0, %(partitions)s - 1) AS partition
    ON CONFLICT (stream, created, epoch, partition) DO UPDATE SET sequence = excluded.sequence, heard = excluded.heard
"""
# The minute after the newest number of each district and class.
NEWEST = """
    SELECT s.district, s.retention, date_bin('1 minute', max(l.time), '2000-01-03 00:00:00+00') + interval '1 minute'
    FROM latest AS l JOIN series AS s ON s.id = l.series WHERE s.kind = 'numbers' GROUP BY 1, 2
"""
WINDOWS_ANEW = """
    WITH owned AS (
        SELECT max(owner) + 1 AS owner FROM rollup_windows
    ), forgotten AS (
        DELETE FROM rollup_windows WHERE partition >= %(partitions)s
    )
    INSERT INTO rollup_windows (partition, retention, open_from, owner)
    SELECT partition, retention, open_from, owner
    FROM unnest(%(retentions)s::text[], %(edges)s::timestamptz[]) AS k (retention, open_from)
        CROSS JOIN generate_series(0, %(partitions)s - 1) AS partition CROSS JOIN owned
    ON CONFLICT (partition, retention) DO UPDATE SET open_from = excluded.open_from, owner = excluded.owner
"""
SEAMS_PASSED = """
    DELETE FROM inherited_seams AS s WHERE upto <= (
        SELECT min(f.sequence) FROM partition_floors AS f
        WHERE f.stream = s.stream AND f.created = s.created AND f.epoch = s.epoch
    )
"""
LANES_TAKE = """
    WITH lanes AS (DELETE FROM positions_in_streams WHERE strpos(stream, '/') > 0 RETURNING *)
    SELECT stream, created, epoch, min(sequence) FILTER (WHERE district = ''), max(sequence) FROM lanes
    GROUP BY stream, created, epoch
"""
SEAM_INHERIT = """
    INSERT INTO inherited_seams (stream, created, epoch, partition, partitions, after, upto)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
SEAMS_INHERITED = """
    SELECT partition, partitions, after, upto FROM inherited_seams
    WHERE stream = %(stream)s AND created = %(created)s AND epoch = %(epoch)s
"""

# What is stored of a life of a stream, of the newest of its epochs: positions of districts, and floors of partitions.
STORED = """
    SELECT epoch, district, NULL::integer, sequence, NULL::bigint FROM positions_in_streams
    WHERE stream = %(stream)s AND created = %(created)s
    UNION ALL
    SELECT epoch, NULL, partition, sequence, heard FROM partition_floors
    WHERE stream = %(stream)s AND created = %(created)s
"""
FLOOR_RAISE = """
    INSERT INTO partition_floors AS f (stream, created, epoch, partition, sequence, heard)
    VALUES (%(stream)s, %(created)s, %(epoch)s, %(partition)s, %(sequence)s, %(heard)s)
    ON CONFLICT (stream, created, epoch, partition) DO UPDATE SET
        sequence = greatest(f.sequence, excluded.sequence), heard = greatest(f.heard, excluded.heard)
"""
