"""`spps campaign`: kills at many cycles of a short transfer."""
from ..campaign.campaign import campaign

__all__ = ["campaign"]
