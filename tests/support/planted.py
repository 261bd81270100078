"""Models whose code changes the process that it runs in, and each change by its kind; importable by a worker."""

from __future__ import annotations

import gc
import locale
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import torch
import torch._functorch.config
import torch._inductor.config
import torch.fx.experimental._config
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from qatrix.execute.traces import KINDS

_C: Any = torch._C
# What nothing can set back, with what undoes it here where anything does.
KEPT: Final[list[Any]] = []


class Passing(TorchFunctionMode):
    """Calls what was called."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Dispatching(TorchDispatchMode):
    """Calls what was called."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _infer() -> None:
    KEPT.append(torch.inference_mode())
    KEPT[-1].__enter__()


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(60,), name="left over", daemon=True).start()


def _autocast(device: str) -> None:
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, torch.float16)


def _negate(get: str, put: str) -> Callable[[], object]:
    return lambda: getattr(_C, put)(not getattr(_C, get)())


def _lower(name: str) -> Callable[[], None]:
    number = getattr(resource, f"RLIMIT_{name}")

    def change() -> None:
        soft, hard = resource.getrlimit(number)
        resource.setrlimit(number, (2**45 if soft == resource.RLIM_INFINITY else soft - 1, hard))

    return change


def _handled(name: str) -> Callable[[], object]:
    return lambda: signal.signal(getattr(signal, name), lambda *_: None)


def _hook(name: str) -> Callable[[], object]:
    return lambda: getattr(nn.modules.module, name).update({10**6: lambda *_: None})


_MODES: Final = {
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's function modes": lambda: Passing().__enter__(),
    "torch's dispatch modes": lambda: Dispatching().__enter__(),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.is_inference_mode_enabled()": _infer,
    "torch.is_grad_enabled()": lambda: torch.set_grad_enabled(False),
    "torch's anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's cache of autocast": lambda: torch.set_autocast_cache_enabled(False),
    "torch's autocast on cpu": lambda: _autocast("cpu"),
    "torch's autocast on cuda": lambda: _autocast("cuda"),
    **{
        f"torch.nn.modules.module.{name}": _hook(name)
        for name in vars(nn.modules.module)
        if name.startswith("_global_") and name.endswith(("hooks", "called", "with_kwargs"))
    },
}
_SWITCHES: Final = {
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch's flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "torch.backends.cudnn.enabled": _negate("_get_cudnn_enabled", "_set_cudnn_enabled"),
    "torch.backends.cudnn.benchmark": _negate("_get_cudnn_benchmark", "_set_cudnn_benchmark"),
    "torch.backends.cudnn.deterministic": _negate("_get_cudnn_deterministic", "_set_cudnn_deterministic"),
    "torch.backends.mkldnn.enabled": _negate("_get_mkldnn_enabled", "_set_mkldnn_enabled"),
    "torch.backends.mkldnn.deterministic": _negate("_get_mkldnn_deterministic", "_set_mkldnn_deterministic"),
    "torch.backends.nnpack.enabled": _negate("_get_nnpack_enabled", "_set_nnpack_enabled"),
    "torch.backends.quantized.engine": lambda: setattr(torch.backends.quantized, "engine", "qnnpack"),
    "torch's flash attention": _negate("_get_flash_sdp_enabled", "_set_sdp_use_flash"),
    "torch's memory-efficient attention": _negate("_get_mem_efficient_sdp_enabled", "_set_sdp_use_mem_efficient"),
    "torch's plain attention": _negate("_get_math_sdp_enabled", "_set_sdp_use_math"),
    "torch's cuDNN attention": _negate("_get_cudnn_sdp_enabled", "_set_sdp_use_cudnn"),
    "torch.is_warn_always_enabled()": _negate("_get_warnAlways", "_set_warnAlways"),
    "torch.jit's optimization": _negate("_get_graph_executor_optimize", "_set_graph_executor_optimize"),
    "torch's precision of float32": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.utils.deterministic.fill_uninitialized_memory": lambda: setattr(
        torch.utils.deterministic, "fill_uninitialized_memory", False
    ),
    "torch.backends.flags_frozen()": torch.backends.disable_global_flags,
    "torch.backends.mha._is_fastpath_enabled": lambda: torch.backends.mha.set_fastpath_enabled(False),
    "torch.backends.opt_einsum.enabled": lambda: setattr(torch.backends.opt_einsum, "enabled", "other"),
    "torch.backends.opt_einsum.strategy": lambda: setattr(torch.backends.opt_einsum, "strategy", "other"),
    "torch's sharing strategy": lambda: torch.multiprocessing.set_sharing_strategy("file_system"),
    "torch's way to print tensors": lambda: torch.set_printoptions(precision=2),
    "torch._dynamo.config": lambda: setattr(torch._dynamo.config, "verbose", True),
    "torch._functorch.config": lambda: setattr(torch._functorch.config, "debug_assert", True),
    "torch._inductor.config": lambda: setattr(torch._inductor.config, "max_autotune", True),
    "torch.fx.experimental._config": lambda: setattr(torch.fx.experimental._config, "print_specializations", True),
}
_SURROUNDINGS: Final = {
    "the environment": lambda: os.environ.update(HOME="/elsewhere", PLANTED="1"),
    "the working folder": lambda: os.chdir("/"),
    "the mask of new files' modes": lambda: os.umask(0),
    "sys.stdin": lambda: setattr(sys, "stdin", None),
    "sys.stdout": lambda: setattr(sys, "stdout", sys.stderr),
    "sys.stderr": lambda: setattr(sys, "stderr", None),
    "sys.excepthook": lambda: setattr(sys, "excepthook", print),
    "sys.displayhook": lambda: setattr(sys, "displayhook", print),
    "sys.unraisablehook": lambda: setattr(sys, "unraisablehook", print),
    "threading.excepthook": lambda: setattr(threading, "excepthook", print),
    "warnings.showwarning": lambda: setattr(warnings, "showwarning", print),
    "logging.raiseExceptions": lambda: setattr(logging, "raiseExceptions", False),
    "tempfile.tempdir": lambda: setattr(tempfile, "tempdir", "/elsewhere"),
    "sys.path": lambda: sys.path.insert(0, "/elsewhere"),
    "sys.argv": lambda: sys.argv.append("--planted"),
    "sys.meta_path": sys.meta_path.reverse,
    "sys.path_hooks": sys.path_hooks.reverse,
    "the root logger.handlers": lambda: logging.root.addHandler(logging.NullHandler()),
    "warnings.filters": lambda: warnings.simplefilter("error"),
    "logging's level": lambda: logging.root.setLevel(logging.CRITICAL + 1),
    "logging.disable": lambda: logging.disable(logging.CRITICAL),
    "the locale": lambda: locale.setlocale(locale.LC_NUMERIC, "C.UTF-8"),
    "Python's recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 7),
    "Python's limit of digits": lambda: sys.set_int_max_str_digits(0),
    "Python's switch interval": lambda: sys.setswitchinterval(0.25),
    "gc.isenabled()": gc.disable,
    "gc.get_threshold()": lambda: gc.set_threshold(7, 7, 7),
    "the timeout of new sockets": lambda: socket.setdefaulttimeout(7.0),
    "the set of running threads": _leave_a_thread,
    **{
        f"what {name} does": _handled(name)
        for name in (
            "SIGABRT",
            "SIGALRM",
            "SIGCHLD",
            "SIGFPE",
            "SIGHUP",
            "SIGINT",
            "SIGPIPE",
            "SIGTERM",
            "SIGUSR1",
            "SIGUSR2",
        )
    },
    "the alarm that is set": lambda: signal.setitimer(signal.ITIMER_REAL, 3600),
    **{f"the process's limit of {name}": _lower(name) for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "STACK")},
}
CHANGES: Final[dict[str, Callable[[], object]]] = {
    name: change
    for name, change in (_MODES | _SWITCHES | _SURROUNDINGS).items()
    if name in {kind.name for kind in KINDS}
}
# These stay until the process ends.
LASTING: Final = frozenset({"torch.is_inference_mode_enabled()", "the set of running threads"})


def changing_everything() -> nn.Module:
    """Change all that can be set back, one after another, and make a model in what is then left of torch."""
    for name, change in CHANGES.items():
        if name not in LASTING:
            change()
    return nn.Sequential(nn.Linear(4, 4))


def changing_the_device_and_failing() -> nn.Module:
    """Have torch make all later tensors without numbers, and no model."""
    torch.set_default_device("meta")
    msg = "planted"
    raise RuntimeError(msg)


def changing_how_tensors_are_printed() -> nn.Module:
    """Change what no result depends on, so that the case itself ends well."""
    model = nn.Sequential(nn.Linear(4, 4))
    torch.set_printoptions(precision=2)
    return model


def replacing_functions() -> nn.Module:
    """Put other functions in the place of torch's."""
    functional.relu = lambda x, inplace=False: x * 0  # type: ignore[assignment]  # noqa: ARG005 - the real one's
    torch.relu = lambda x: x * 0  # type: ignore[assignment]
    nn.Conv2d.forward = lambda _, x: x.sum(1, keepdim=True)  # type: ignore[assignment]
    nn.ReLU.forward = lambda _, x: x * 0  # type: ignore[assignment]
    return nn.Sequential(nn.Linear(4, 4))


def drawing() -> nn.Module:
    """A model with weights from Python's and numpy's generators."""
    import random

    import numpy as np

    model = nn.Sequential(nn.Linear(4, 4))
    with torch.no_grad():
        model[0].weight.fill_(random.random())  # type: ignore[operator]
        model[0].bias.fill_(float(np.random.random()))  # type: ignore[operator]  # noqa: NPY002 - the old generator is meant
    return model
