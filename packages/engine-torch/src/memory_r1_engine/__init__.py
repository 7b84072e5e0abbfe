"""The embedded training and sampling engine of Memory-R1: PyTorch behind a small JSON protocol."""

import os

# Read when torch loads its thread pool (GNU OpenMP), so before any module of the package imports torch.
# Between two operations a waiting thread spins for some microseconds, then sleeps. Spinning for long,
# the default, made one update take ten times as long where other processes used the cores too (37 s
# against 3.5 s); never spinning made decoding half as fast on a quiet machine (bfloat16, one sequence,
# two cores: 65 ms a token against 30 ms).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

#: Version of the wire protocol; equal to `engineProtocolVersion` of packages/spec.
PROTOCOL_VERSION = 1
