"""The studio: a page in the browser on which people edit pictures of their own."""
