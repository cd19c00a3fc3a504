-- Pages of newest observations go through the series of a district in this order, byte by byte; without it each page would
-- sort all of them.
CREATE INDEX series_in_order ON series (district, device COLLATE "C", observed_property COLLATE "C", id);
