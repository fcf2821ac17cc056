"""The commands, their options and pages, and the wiring of all parts of a run."""
