"""PCI: host bridges, and what every function has. A function is a component of its own, reached through its bridge."""
