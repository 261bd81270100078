"""The file of a reference: safetensors, its tensors named by their digests, the manifest in its metadata.

The format was made for tensors that nobody has to trust: a header of JSON and plain bytes,
nothing that is executed. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import safetensors
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from qatrix import codec
from qatrix.declare.digest import case_digests
from qatrix.declare.spec import Case
from qatrix.errors import OutputError, ReferenceUnusable
from qatrix.execute.passes import forward, set_training
from qatrix.execute.quality import trains
from qatrix.execute.reference.frozen import FrozenCase, Manifest
from qatrix.execute.reference.tensors import digest, digest_of_all, digest_of_output, output_of, tree_fault
from qatrix.execute.sight import Sight
from qatrix.files import NotPlain, open_plain
from qatrix.outcomes import PipelineOutcome
from qatrix.pipelines.inputs import Batches
from qatrix.pipelines.models import build_model

FORMAT: Final = "qatrix reference"
# A file of another version is refused, never guessed at.
VERSION: Final = "1"
_ENTRY: Final = "qatrix"
_AGAIN: Final = "freeze the run again with qatrix freeze"
# All outputs of the shipped matrix have some MB, and safetensors itself reads no longer header.
_LARGEST: Final = 64 * 2**30
_LONGEST_HEADER: Final = 100_000_000
_LENGTH_BYTES: Final = 8
_BLOCK: Final = 2**20


class ReferenceWriter:
    """Collects what is frozen; tensors that are equal are kept once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.cases: list[FrozenCase] = []

    def add(self, case: FrozenCase, tensors: Mapping[str, Tensor]) -> None:
        """Add a case and the tensors that it names."""
        self.cases.append(case)
        self.tensors |= tensors

    def write(self, path: Path, manifest: Manifest) -> None:
        """Write the file; it is then whole, or not there. Raises OutputError."""
        text = codec.dumps(manifest)
        head = {"format": FORMAT, "version": VERSION, "manifest_sha256": _sha256(text), "manifest": text}
        # One entry, since several would be written in no certain order.
        metadata = {_ENTRY: json.dumps(head)}
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            # An empty file of tensors is none that could be read.
            save_file(self.tensors or {"none": torch.zeros(0)}, temporary, metadata)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except (OSError, SafetensorError) as error:
            msg = f"{path} cannot be written: {error}; check that the disk has room and the folder is writable"
            raise OutputError(msg) from error
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)


class Reference:
    """A reference, open; tensors are read when a case asks for them."""

    def __init__(self, path: Path, file: Any, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._file = file
        self._cases = {item.case_id: item for item in manifest.cases}

    @property
    def pipeline(self) -> str:
        """The pipeline whose side it has."""
        return self.manifest.pipeline

    @cached_property
    def digest(self) -> str:
        """The SHA-256, in hex, of the file."""
        with self.path.open("rb") as file:
            found = hashlib.sha256()
            while block := file.read(_BLOCK):
                found.update(block)
        return found.hexdigest()

    def side(self, case: Case, batches: Batches, float_outputs: object) -> tuple[PipelineOutcome, Sight]:
        """The pipeline's side of a case, as if it had run here; unavailable, with the reason, where it cannot be told.

        `batches` and `float_outputs` are those of the case here and now.
        """
        frozen = self._cases.get(case.case_id)
        reason = self._why_not(case, frozen, batches)
        if frozen is None or reason is not None:
            told = f"it cannot be compared with the reference ({self.manifest.origin}): {reason}"
            return PipelineOutcome(pipeline=self.pipeline, status="unavailable", reason=told), Sight()
        differs = frozen.float_model != digest_of_float_model(case, batches, float_outputs)
        return self._outcome(frozen, differs=differs), Sight(
            outputs={point: output_of(tree, self._tensor) for point, tree in frozen.outputs.items()},
            steps={point: list(steps) for point, steps in frozen.steps.items()},
            checks=list(frozen.checks),
            float_differs=differs,
        )

    def verify(self) -> None:
        """Raise ReferenceUnusable unless every tensor is what its name says, and every output is made of these."""
        names = set(self._file.keys())
        for name in names:
            if name != "none" and digest(self._tensor(name)) != name:
                msg = f"{self.path} is damaged: tensor {name[:12]!r}… holds other values than its name says; {_AGAIN}"
                raise ReferenceUnusable(msg)
        for frozen in self.manifest.cases:
            for point, tree in frozen.outputs.items():
                if (fault := tree_fault(tree, names)) is not None:
                    msg = f"{self.path} is damaged: the output of {frozen.case_id} after {point} {fault}; {_AGAIN}"
                    raise ReferenceUnusable(msg)

    def _why_not(self, case: Case, frozen: FrozenCase | None, batches: Batches) -> str | None:
        """Why a case cannot be compared; None where it can."""
        if frozen is None:
            return self.manifest.left_out.get(case.case_id, "it has no such case")
        if frozen.seed != case.seed:
            return "it was drawn with another seed, by another version of qatrix"
        if frozen.declaration != case_digests([case])[case.case_id]:
            return "the case is now declared differently"
        if frozen.inputs != digest_of_inputs(batches):
            return "this torch draws other inputs from the same seed"
        if frozen.weights != digest_of_weights(case):
            return "this torch draws other weights from the same seed"
        return None

    def _outcome(self, frozen: FrozenCase, *, differs: bool) -> PipelineOutcome:
        notes = [*frozen.outcome.notes, f"frozen: {self.manifest.origin}"]
        if differs:
            notes.append(
                "the float model itself gives different bits here than it gave there, "
                "so bit-identical outputs cannot be expected"
            )
        return replace(frozen.outcome, notes=tuple(notes))

    def _tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor


def open_reference(path: Path) -> Reference:
    """The reference in a file. Raises ReferenceUnusable for one that is missing, damaged, or of another kind."""
    _demand_header(path)
    try:
        file: Any = safetensors.safe_open(str(path), framework="pt")
        head = (file.metadata() or {}).get(_ENTRY, "{}")
    except (SafetensorError, OSError) as error:
        msg = f"{path} is no reference, or it is damaged or cut short ({error}); {_AGAIN}"
        raise ReferenceUnusable(msg) from error
    return Reference(path, file, _manifest(path, _head(head)))


def _demand_header(path: Path) -> None:
    """Raise ReferenceUnusable unless the file can be opened and begins with a header of a length that it can have."""
    try:
        with open_plain(path, largest=_LARGEST) as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            room = max(0, os.fstat(file.fileno()).st_size - _LENGTH_BYTES)
    except FileNotFoundError as error:
        msg = f"there is no reference at {path}; make one with qatrix freeze RUN --out {path}"
        raise ReferenceUnusable(msg) from error
    except NotPlain as error:
        msg = f"{path} cannot be read: it {error}; name a file that qatrix freeze wrote"
        raise ReferenceUnusable(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ReferenceUnusable(msg) from error
    if length > min(room, _LONGEST_HEADER):
        msg = (
            f"{path} is no reference, or it is damaged or cut short (a header of {length} bytes, where {room} follow "
            f"and at most {_LONGEST_HEADER} are read); {_AGAIN}"
        )
        raise ReferenceUnusable(msg)


def _head(text: str) -> dict[str, str]:
    """What stands before the manifest; nothing where it cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    known = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if known else {}


def _manifest(path: Path, head: Mapping[str, str]) -> Manifest:
    if head.get("format") != FORMAT:
        msg = f"{path} holds tensors, but is no reference; make one with qatrix freeze"
        raise ReferenceUnusable(msg)
    if head.get("version") != VERSION:
        msg = f"{path} is a reference of version {head.get('version')}, and this qatrix reads {VERSION}; {_AGAIN}"
        raise ReferenceUnusable(msg)
    text = head.get("manifest", "")
    if head.get("manifest_sha256") != _sha256(text):
        msg = f"{path} is damaged: its manifest is not what was written; {_AGAIN}"
        raise ReferenceUnusable(msg)
    try:
        found = codec.loads(Manifest, text)
    except codec.CodecError as error:
        msg = f"{path} is a reference of another qatrix ({error}); {_AGAIN}"
        raise ReferenceUnusable(msg) from error
    if len({item.case_id for item in found.cases}) != len(found.cases):
        msg = f"{path} is damaged: it has a case twice; {_AGAIN}"
        raise ReferenceUnusable(msg)
    return found


def digest_of_float_model(case: Case, batches: Batches, outputs: object) -> str:
    """The digest of what the float model makes of its inputs: `outputs` in evaluation, and where the case trains
    also what a forward in training gives, and the statistics after it.

    Releases of torch have different kernels, whose sums differ in their last bits.
    """
    parts = [digest_of_output(outputs)]
    if trains(case):
        model = build_model(case).to(case.device.torch)
        set_training(model, True)
        with torch.no_grad():
            parts += [digest_of_output(forward(model, batch)) for batch in batches.calibrating]
        parts.append(digest_of_all(model.named_buffers()))
    return _sha256(" ".join(map(str, parts)))


def digest_of_inputs(batches: Batches) -> str:
    """The digest of a case's inputs, of all its batches."""
    tensors = (tensor for batch in (batches.first, *batches.more) for tensor in batch.tensors)
    return digest_of_all((str(place), tensor) for place, tensor in enumerate(tensors))


def digest_of_weights(case: Case) -> str:
    """The digest of the float model's parameters and buffers, as they are drawn."""
    return digest_of_all(build_model(case).state_dict().items())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
