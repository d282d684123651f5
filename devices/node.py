"""What the devices of a Loongson-3A node know of nodes and cores."""

from devices.errors import DeviceError

CORES = 4
"""Cores of a node."""
NODES = 16
"""Nodes that there can be."""


def checked_node(node: int) -> int:
    """`node`, a number from 0 to 15. Raises DeviceError for another."""
    if not 0 <= node < NODES:
        raise DeviceError(f"node {node}: there are nodes 0 to {NODES - 1}")
    return node


def checked_online(online: int) -> int:
    """`online`, a number of cores from 1 to 4. Raises DeviceError for another."""
    if not 1 <= online <= CORES:
        raise DeviceError(f"online {online}: 1 to {CORES} cores")
    return online
