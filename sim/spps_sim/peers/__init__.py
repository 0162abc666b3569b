"""Deterministic Python hosts in simulated time."""
from .config import State, TcpConfig
from .connection import TcpConnection
from .endpoint import Endpoint

__all__ = ["Endpoint", "State", "TcpConfig", "TcpConnection"]
