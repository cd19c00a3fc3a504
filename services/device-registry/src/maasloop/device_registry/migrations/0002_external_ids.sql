-- What other systems call a device that is not retired, each name once.
CREATE TABLE external_ids (
    external_id text COLLATE "C" PRIMARY KEY,
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL
);
CREATE INDEX external_ids_device ON external_ids (district, id);
