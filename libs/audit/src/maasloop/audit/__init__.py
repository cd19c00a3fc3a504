"""A log that can't be changed quietly: entries, hash chain, Merkle tree, signed checkpoints, and how all are checked.

Pure functions over bytes and texts, so that who checks a log needs neither a database nor a network. What a log is, who
writes it and what it proves is told in docs/explanations/audit.md.
"""
