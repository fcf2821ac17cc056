"""HTML pages: report, comparison and live view."""
