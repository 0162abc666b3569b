"""Output processor: from an OUTPUT message to a frame."""
from .emit_gate import EmitGate
from .frame_assembler import FrameAssembler
from .frame_loader import FrameLoader
from .output_processor import OutputProcessor
from .output_queues import OutputQueues
from .output_receiver import OutputReceiver
from .payload_fetcher import PayloadFetcher

__all__ = ["EmitGate", "FrameAssembler", "FrameLoader", "OutputProcessor", "OutputQueues", "OutputReceiver",
           "PayloadFetcher"]
