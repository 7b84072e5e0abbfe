"""The embedded training and sampling engine of Memory-R1: PyTorch behind a small JSON protocol."""

__version__ = "0.1.0"

#: Version of the wire protocol; equal to `engineProtocolVersion` of packages/spec.
PROTOCOL_VERSION = 1
