"""What a declaration may name: the one place that decides, and the one text that refuses.

YAML from a stranger is data: it names what is on a list, which runs no code that its author
chose. A dotted path that is not on the list needs the user's consent to run that module's
code, which a prefix gives (`--allow-module`, `[tool.qatrix] allow-modules`).
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from qatrix.declare.language import nearest
from qatrix.declare.registered import LOADING_BACKBONES, MODELS
from qatrix.expressions import Value
from qatrix.quantizers import BUILT_IN
from qatrix.runtimes import BUILT_IN as RUNTIMES
from qatrix.ways import BUILT_IN as PIPELINES

_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
# What torchvision calls the arguments that load weights, in all its releases.
_LOADING: Final = re.compile(r"(weights|pretrained)\w*", re.ASCII)
_BACKBONE: Final = ("weights_backbone", "pretrained_backbone")
# Sets the quantized engine of the whole process.
_QUANTIZING: Final = "quantize"
_NOTHING: Final = (None, False)
# Nobody writes longer ones, and messages show them.
_LONGEST_PATH: Final = 200
# A name of a model that is spelled almost like another one.
_ALIKE: Final = 0.75


class Kind(NamedTuple):
    """A kind of thing that declarations name: its word, the names that need no consent, in words.

    Any other name has to be a dotted path.
    """

    word: str
    known: Collection[str]
    in_words: str

    @property
    def has_short_names(self) -> bool:
        """Whether some of the names are no paths."""
        return any("." not in name for name in self.known)


MODEL: Final = Kind(
    "model",
    MODELS,
    "a model that torchvision registers, such as torchvision.models.resnet18, or that a distribution does",
)
CONFIGURATION: Final = Kind("configuration function", (), "the dotted path of a function below a module that you allow")


def model_kind(registered: Collection[str]) -> Kind:
    """Models: those that torchvision registers, and the names that installed distributions register."""
    return MODEL._replace(known=(*MODELS, *registered)) if registered else MODEL


def pipeline_kind(registered: Collection[str]) -> Kind:
    """Pipelines: those that are built in, and the names that installed distributions register."""
    in_words = f"one of {', '.join(PIPELINES)}; or a name that an installed distribution registers"
    return Kind("pipeline", (*PIPELINES, *registered), in_words)


def quantizer_kind(registered: Collection[str]) -> Kind:
    """Quantizers: those that are built in, and the names that installed distributions register."""
    in_words = f"one of {', '.join(BUILT_IN)}; or a name that an installed distribution registers"
    return Kind("quantizer", (*BUILT_IN, *registered), in_words)


def runtime_kind(registered: Collection[str]) -> Kind:
    """Runtimes: those that are built in, and the names that installed distributions register."""
    in_words = f"one of {', '.join(RUNTIMES)}; or a name that an installed distribution registers"
    return Kind("runtime", (*RUNTIMES, *registered), in_words)


class Refusal(NamedTuple):
    """Why a name is refused, what would be right, and what to do."""

    message: str
    expected: str
    hint: str | None


class ArgumentRefusal(NamedTuple):
    """Why a call is refused: the argument at fault, None where one is missing."""

    argument: str | None
    refusal: Refusal


@dataclass(frozen=True)
class Trust:
    """The modules whose code the user has consented to run; nothing else is trusted beyond the lists."""

    prefixes: tuple[str, ...] = ()

    def consents(self, path: str) -> bool:
        """Whether the user has consented to a dotted path: it is one of the prefixes, or lies below one."""
        return any(path == prefix or path.startswith(f"{prefix}.") for prefix in self.prefixes)

    def refusal(self, path: str, kind: Kind) -> Refusal | None:
        """Why a dotted path may not be named as something of a kind, None where it may."""
        if path in kind.known:
            return None
        if "." not in path and kind.has_short_names:
            return Refusal(f"unknown {kind.word} '{_shown(path)}'", kind.in_words, _nearest(path, kind))
        if "." not in path or not is_path(path):
            return Refusal(f"'{_shown(path)}' is not a dotted path", kind.in_words, _nearest(path, kind))
        if self.consents(path):
            return None
        return Refusal(
            f"the {kind.word} '{path}' may not be used without your consent",
            self._expected(kind),
            _nearest(path, kind) or _consent(path),
        )

    def argument_refusals(self, model: str, arguments: Mapping[str, Value]) -> Iterator[ArgumentRefusal]:
        """What a registered model may not be called with: weights to load, settings of the whole process.

        A model that the user has consented to may be called with anything.
        """
        if self.consents(model):
            return
        for name, value in arguments.items():
            if _LOADING.fullmatch(name) and not _is_nothing(value):
                message = f"the argument '{name}' loads weights, which needs your consent"
                yield ArgumentRefusal(name, Refusal(message, f"{name}: {_turned_off(name)}", _consent_to(model)))
            elif name == _QUANTIZING and not _is_nothing(value):
                message = f"the argument '{name}' sets the quantized engine of the whole process"
                yield ArgumentRefusal(name, Refusal(message, f"{name}: false", _consent_to(model)))
        if model in LOADING_BACKBONES and not any(name in arguments for name in _BACKBONE):
            message = f"'{model}' loads the weights of its backbone unless it is told not to"
            yield ArgumentRefusal(None, Refusal(message, "args: {weights: null, weights_backbone: null}", None))

    def _expected(self, kind: Kind) -> str:
        allowed = f", or what is below {' or '.join(self.prefixes)}, as you allow" if self.prefixes else ""
        return f"{kind.in_words}{allowed}"


def is_path(text: str) -> bool:
    """Whether a text is a dotted path, or one name: identifiers of ASCII letters, joined by dots."""
    if len(text) > _LONGEST_PATH or not _PATH.fullmatch(text):
        return False
    return not any(map(keyword.iskeyword, text.split(".")))


def _is_nothing(value: Value) -> bool:
    # 0 equals False, and torchvision takes it for a name of weights.
    return any(value is nothing for nothing in _NOTHING)


def _nearest(path: str, kind: Kind) -> str | None:
    """The hint that names the known path that is meant, None where none is."""
    if len(path) > _LONGEST_PATH:
        return None
    top, dot, last = path.partition(".")[0], *path.rpartition(".")[1:]
    if dot and nearest(top, {known.partition(".")[0] for known in kind.known}) is None:
        # A package of the user's own.
        return None
    names = {known.rpartition(".")[2] for known in kind.known}
    found = difflib.get_close_matches(last, sorted(names), n=1, cutoff=_ALIKE)
    homes = sorted(known for known in kind.known if known.rpartition(".")[2] in found)
    closest = difflib.get_close_matches(path, homes, n=1, cutoff=0)
    return f"did you mean '{closest[0]}'?" if closest else None


def _consent(path: str) -> str:
    module = path.rpartition(".")[0] or path
    return (
        f"--allow-module {module} allows it: all code of {module} then runs as you;"
        " allow-modules under [tool.qatrix] in pyproject.toml does the same"
    )


def _turned_off(name: str) -> str:
    return "null" if name.startswith("weights") else "false"


def _consent_to(model: str) -> str:
    return f"--allow-module {model} allows it, and everything else that this model can do"


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_PATH else f"{text[: _LONGEST_PATH - 1]}…"
