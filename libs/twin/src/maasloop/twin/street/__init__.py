"""The street side of the twin: traffic moved by SUMO, loops, signal controllers and the judge of what they showed."""
