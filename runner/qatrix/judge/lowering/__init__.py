"""Why a lowered program leaves its reference, from what both give for one op."""

from qatrix.judge.lowering.causes import causes
from qatrix.judge.lowering.facts import Codes, DepartureFacts, Product

__all__ = ["Codes", "DepartureFacts", "Product", "causes"]
