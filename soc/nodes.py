"""A processor is a node. How many cores there are, in one and in all."""

CORES = 4
"""Cores of a node."""
MAX_CPUS = 4 * CORES
"""Cores that a machine can have: those of four nodes."""
