"""What lies in an input: its images, the rows of its lists, and what is left out."""
