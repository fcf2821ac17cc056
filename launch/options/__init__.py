"""Options: typed dataclasses, recipes, key=value words."""
