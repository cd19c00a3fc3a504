"""What timeseries knows by itself: kinds and retention, order in a stream, the custody balance."""
