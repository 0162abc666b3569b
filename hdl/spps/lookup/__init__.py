"""Lookup controller, flowstate memory and timers. Source: patent §III.A–C, F7 734."""
from .flow_hash import FlowHash
from .flowstate_memory import FlowstateMemory
from .lookup_controller import LookupController
from .timer_unit import TimerUnit

__all__ = ["FlowHash", "FlowstateMemory", "LookupController", "TimerUnit"]
