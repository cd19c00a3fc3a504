-- What is told of one alert to one subscription is told in order: raised before resolved.
ALTER TABLE deliveries ADD COLUMN position bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX deliveries_order ON deliveries (district, alert, subscription, position) WHERE state = 'PENDING';
