"""``ssl3d bench``: how fast every stage is, beside what this machine could do at best."""
