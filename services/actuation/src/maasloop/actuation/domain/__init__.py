"""What actuation knows by itself: pure rules over commands, policies, lamps and signals."""
