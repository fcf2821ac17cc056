"""Ray's job server: shipping the checkout, submitting a run, following its log."""
