"""SPI-4 Phase 2 sink and source behind a wide-word boundary."""
from .dip import Dip2, Dip4, Rotation
from .spi4_sink import Spi4Sink
from .spi4_source import Spi4Source

__all__ = ["Dip2", "Dip4", "Rotation", "Spi4Sink", "Spi4Source"]
