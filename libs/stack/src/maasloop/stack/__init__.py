"""A whole Maasloop on one machine as real processes on loopback."""
