"""A log that can't be changed quietly: hash chain, Merkle tree, signed checkpoints."""
