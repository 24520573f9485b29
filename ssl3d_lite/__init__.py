"""Self-supervised learning on 3D medical images, small enough to read."""
