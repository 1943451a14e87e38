"""Programs that the measurements start: loops to compare with, and daemons that have lost something."""
