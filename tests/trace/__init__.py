"""Traces: paths of interrupts, files, exports, pictures."""
