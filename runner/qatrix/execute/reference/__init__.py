"""What one pipeline gave, frozen: kept in a file, and compared with where that pipeline is not, or not any more.

FX graph mode is deprecated and will go. A reference holds its side of every case: outcome,
outputs, checks, quantization parameters. A run takes that side from the file, and judges as
if the pipeline had run beside the others.
"""

from qatrix.execute.reference.file import Reference, ReferenceWriter, open_reference
from qatrix.execute.reference.freezing import Differs, Unfrozen, freeze_case
from qatrix.execute.reference.frozen import Manifest

__all__ = ["Differs", "Manifest", "Reference", "ReferenceWriter", "Unfrozen", "freeze_case", "open_reference"]
