"""All sentences of verdicts, differences, causes and specifications: to be read, and edited, in one place.

Each is a template whose fields are filled by name, so that a sentence can be rewritten without a look at the code that
fills it. They are one sentence without a period at the end, unless they are two; whoever joins them adds what is
between.
"""

from qatrix.judge.wording.template import Template

__all__ = ["Template"]
