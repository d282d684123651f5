"""Node and core numbers that devices of a Loongson-3A node are given."""

from devices.errors import DeviceError
from soc.nodes import CORES

NODES = 16
"""Nodes that addresses and registers can name."""


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
