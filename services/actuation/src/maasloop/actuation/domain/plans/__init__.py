"""Signal controllers that run plans of their own accord: what they may be asked for, and by whom."""
