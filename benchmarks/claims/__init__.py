"""Whether the methods keep what their papers promise, on data whose truth is known."""
