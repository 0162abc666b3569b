"""Flow director. Source: patent §III.D–H, §VIII, F5, F6, F7 738."""
from .flow_director import FlowDirector
from .ports import FenceControl

__all__ = ["FenceControl", "FlowDirector"]
