"""The commands a person types, and the one place where all parts are wired together."""
