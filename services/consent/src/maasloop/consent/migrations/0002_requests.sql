-- Requests that made no record because one decided already: repeated after its end, they do not make one either.
CREATE TABLE consent_requests (
    request_id uuid PRIMARY KEY,
    record_id text COLLATE "C" NOT NULL REFERENCES consent_records (id)
);
