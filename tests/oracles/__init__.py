"""Oracles: independent implementations that the simulator is compared with."""
