"""Installed distributions that register something: metadata in a folder, and a module beside it."""

from __future__ import annotations

from pathlib import Path


def install(
    folder: Path,
    name: str,
    *points: str,
    code: str | None = "",
    version: str = "1.0",
    group: str = "qatrix.quantizers",
) -> Path:
    """A folder that holds what pip would install; `code` is that of the module `name_code`, None for no module."""
    module = name.replace("-", "_").replace(".", "_").lower()
    metadata = folder / f"{module}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *points, ""]))
    if code is not None:
        (folder / f"{module}_code.py").write_text(code)
    return folder
