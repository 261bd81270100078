"""The report page: one self-contained HTML file, rendered from templates that escape everything.

Ready data comes in; text goes out: `index_html` is the page, `side_files` what a report of
very many cases keeps beside it. Neither needs the network.
"""

from __future__ import annotations

from qatrix.report.html.details import side_files as side_files
from qatrix.report.html.page import index_html as index_html

__all__ = ["index_html", "side_files"]
