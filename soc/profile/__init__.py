"""The profiler: where host time went, and which guest functions were hot. See docs/profiling.md."""
