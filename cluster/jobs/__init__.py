"""Ray's job server: ship the checkout, submit a run, follow its log."""
