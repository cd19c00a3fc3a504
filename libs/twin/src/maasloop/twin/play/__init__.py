"""The play of one district: seconds in lockstep with decisions, faults on purpose, and a ledger of what was said."""
