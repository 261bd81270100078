"""What nodes of a cluster are asked first. Ray sends its code: nothing may stand in it that cannot be pickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def greeting() -> Callable[[], Iterator[bool]]:
    """A function that answers True and is no module's, so that a node without qatrix answers, too."""

    def answer() -> Iterator[bool]:
        yield True

    return answer
