"""Output processor: from an OUTPUT message to a frame."""
from .emit_gate import EmitGate
from .frame_assembler import FrameAssembler
from .output_processor import OutputProcessor
from .output_receiver import OutputReceiver
from .payload_fetcher import PayloadFetcher

__all__ = ["OutputProcessor", "OutputReceiver", "PayloadFetcher", "FrameAssembler", "EmitGate"]
