"""What lives where in the installed torch, torchvision and torchao: the only place that knows.

Everything that a release moved, renamed or lacks is answered here, so that support for
another release is an addition to this folder and to nothing else.
"""

from qatrix.pipelines.torchenv.capturing import (
    Programs,
    capture,
    capture_name,
    decomposers,
    export_tracer,
    exported,
    forget_programs,
    named_tensors,
    reset_compiler,
    saved_and_loaded,
)
from qatrix.pipelines.torchenv.importing import PACKAGES, RELEASE, PackageMissing, imported, package_version
from qatrix.pipelines.torchenv.inventory import Package, packages
from qatrix.pipelines.torchenv.lowering import lowering_missing, register_x86_patterns, x86_lowering
from qatrix.pipelines.torchenv.machine import (
    THREADS,
    device_called,
    device_missing,
    engines,
    environment,
    seed_generators,
)
from qatrix.pipelines.torchenv.patterns import PATTERN_FUNCTION, pattern_functions, pattern_modules
from qatrix.pipelines.torchenv.processor import cpu_features
from qatrix.pipelines.torchenv.quantization import (
    Pt2eApi,
    fx_api,
    histogram_observers,
    import_quantizers,
    pt2e_api,
    second_pt2e_api,
)

__all__ = [
    "PACKAGES",
    "PATTERN_FUNCTION",
    "RELEASE",
    "THREADS",
    "Package",
    "PackageMissing",
    "Programs",
    "Pt2eApi",
    "capture",
    "capture_name",
    "cpu_features",
    "decomposers",
    "device_called",
    "device_missing",
    "engines",
    "environment",
    "export_tracer",
    "exported",
    "forget_programs",
    "fx_api",
    "histogram_observers",
    "import_quantizers",
    "imported",
    "lowering_missing",
    "named_tensors",
    "package_version",
    "packages",
    "pattern_functions",
    "pattern_modules",
    "pt2e_api",
    "register_x86_patterns",
    "reset_compiler",
    "saved_and_loaded",
    "second_pt2e_api",
    "seed_generators",
    "x86_lowering",
]
