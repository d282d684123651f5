"""A processor is a node. How many cores it has, and how many a machine can have."""

CORES = 4
"""Of a node."""
MAX_NODES = 4
MAX_CPUS = MAX_NODES * CORES
