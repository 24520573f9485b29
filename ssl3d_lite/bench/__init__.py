"""``ssl3d bench``: how fast every stage is, beside the best that this machine could do."""
