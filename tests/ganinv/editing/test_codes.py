"""Edits of codes change what they say, and nothing else."""

import torch

from ganinv.editing import interpolated, traversed, with_noise


def test_interpolation_is_straight_even_and_keeps_its_ends() -> None:
    first, second = torch.randn(2, 3, 5, dtype=torch.float64)
    between = interpolated(first, second, 9)
    torch.testing.assert_close(between[:, 0], first)
    torch.testing.assert_close(between[:, -1], second)
    steps = between.diff(dim=1)
    torch.testing.assert_close(steps, ((second - first) / 8)[:, None].expand_as(steps))


def test_traversal_sets_one_element_and_leaves_the_others() -> None:
    code, values = torch.randn(3, 5), torch.tensor([-2.0, 0.0, 2.0])
    table = traversed(code, 2, values)
    torch.testing.assert_close(table[..., 2], values.expand(3, 3))
    others = [0, 1, 3, 4]
    for column in table.unbind(1):
        torch.testing.assert_close(column[:, others], code[:, others])


def test_noise_is_the_same_in_a_column_for_all_codes() -> None:
    code, noise = torch.randn(3, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    added = with_noise(code, noise) - code[:, None]
    torch.testing.assert_close(added, noise[None].expand(3, 4, 5))
