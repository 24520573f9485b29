"""Pictures and views. Nothing in the library imports this but the command line and notebooks."""
