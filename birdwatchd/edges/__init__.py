"""One outside thing per room; the rooms do not know each other."""
