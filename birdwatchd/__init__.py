"""birdwatchd: drop camera photos into a folder, find the birds named and filed."""

__version__ = "0.1.0"
