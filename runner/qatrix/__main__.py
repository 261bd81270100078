"""`python -m qatrix` is `qatrix`."""

from __future__ import annotations

from qatrix.cli import main

if __name__ == "__main__":
    main()
