"""What happened: the hash of every run, and on request its records and the latency of each interrupt."""

from soc.trace.file import TraceFileError
from soc.trace.latency import Latency, Outlier, Spread
from soc.trace.trace import Record, Trace

__all__ = ["Latency", "Outlier", "Record", "Spread", "Trace", "TraceFileError"]
