"""The site of the documentation: pages that are generated while MkDocs builds it, beside those in docs/."""
