"""Message splitter: frames in, events and payloads out."""
from .event_builder import EventBuilder
from .frame_aligner import FrameAligner
from .frame_header import FrameHeader
from .header_parser import HeaderParser
from .message_splitter import MessageSplitter
from .option_parser import OptionParser
from .verdict import Verdict

__all__ = ["EventBuilder", "FrameAligner", "FrameHeader", "HeaderParser", "MessageSplitter", "OptionParser", "Verdict"]
