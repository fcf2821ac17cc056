"""Small models of every method on the same images, and what is measured on them."""
