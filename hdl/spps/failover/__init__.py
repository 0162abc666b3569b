"""Failover: sync records, ACK gate, role and lease, IP switch (patent §X)."""
from .ack_gate import AckGate
from .failover_unit import FailoverUnit
from .ip_switch import IpSwitch
from .sync_port import REGISTERS_IN, STATUS_OUT, SyncPort

__all__ = ["AckGate", "FailoverUnit", "IpSwitch", "SyncPort", "REGISTERS_IN", "STATUS_OUT"]
