"""Answers to ICMP echo requests."""
from .echo_responder import EchoResponder

__all__ = ["EchoResponder"]
