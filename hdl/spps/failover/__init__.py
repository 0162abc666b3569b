"""Failover: sync records, ACK gate, role and lease, IP switch (patent §X)."""
from .ack_gate import AckGate
from .failover_unit import FailoverUnit
from .faulty_link import FaultyLink, LinkControl
from .ip_switch import IpSwitch
from .signature import FailoverConfig, FailoverStatus
from .sync_port import SyncPort

__all__ = ["AckGate", "FailoverConfig", "FailoverStatus", "FailoverUnit", "FaultyLink", "IpSwitch", "LinkControl",
           "SyncPort"]
