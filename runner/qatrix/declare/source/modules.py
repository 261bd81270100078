"""The module in which a factory stands, for the import of a script."""

from __future__ import annotations

from importlib.machinery import PathFinder


def module_of(path: str) -> str:
    """The module that a dotted path leads into; a class in it may follow. Nothing is imported.

    It is all but the last name where the path is not one of files, as of what is not installed here.
    """
    above = path.rpartition(".")[0]
    found: list[str] = []
    places = None
    for part in above.split("."):
        spec = PathFinder.find_spec(".".join([*found, part]), places)
        if spec is None:
            break
        found.append(part)
        places = spec.submodule_search_locations
        if places is None:
            break
    return ".".join(found) or above
