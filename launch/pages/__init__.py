"""HTML pages: the report of a run, the comparison of runs, and the live page."""
