"""The way out: encoders and networks for other programs, in their own files."""
