"""Short trainings over a grid of options: the grid, its checks, the trainings, their results."""
