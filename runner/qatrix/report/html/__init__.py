"""The report page: one self-contained HTML file, rendered from templates that escape everything.

Ready data comes in; text goes out: `index_html` is the page, `side_files` what a report of
very many cases keeps beside it. Neither needs the network.
"""

from __future__ import annotations

from qatrix.report.html.details import SIDE_MARKED, SIDE_NAMED, side_files
from qatrix.report.html.news import NEWS, news_js
from qatrix.report.html.page import index_html

__all__ = ["NEWS", "SIDE_MARKED", "SIDE_NAMED", "index_html", "news_js", "side_files"]
