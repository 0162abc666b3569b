"""Deterministic Python hosts in simulated time."""
from .connection import State, TcpConfig, TcpConnection
from .endpoint import Endpoint

__all__ = ["Endpoint", "State", "TcpConfig", "TcpConnection"]
