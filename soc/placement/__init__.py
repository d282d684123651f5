"""Where a component runs. Placement never changes what happens, only where."""
