"""How photographs become images of one size, and how such images get back into them."""
