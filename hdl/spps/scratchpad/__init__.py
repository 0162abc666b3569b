"""Payload scratchpad: pages with links, referenced by their first page."""
from .frame_admission import FrameAdmission
from .page_list import PageList
from .scratch_reader import ScratchReader
from .scratchpad import Scratchpad

__all__ = ["FrameAdmission", "PageList", "ScratchReader", "Scratchpad"]
