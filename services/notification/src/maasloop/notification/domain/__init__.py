"""What an alert is and when it begins and ends; no I/O, no protobuf, no waiting."""
