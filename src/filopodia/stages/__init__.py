"""The steps of the chain, one file each: what it reads, what it writes, what it depends on, and the work."""
