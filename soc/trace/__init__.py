"""What happened: the hash of every run, and on request its records and the latency of each interrupt."""

from soc.trace.latency import Latency, Spread
from soc.trace.trace import Trace

__all__ = ["Latency", "Spread", "Trace"]
